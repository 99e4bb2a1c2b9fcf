"""Make the parts of a run from its settings: task, stream, fast channel and router, each checked before training."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fastslow.config.settings import FastSlowConfig
from fastslow.contexts.context import Context, WorkedExample, seed_context
from fastslow.core import foreign
from fastslow.core.errors import BadInput
from fastslow.core.modes import MODES, Mode
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example
from fastslow.fast.gepa import BudgetPlan
from fastslow.fast.phase import FastChannel
from fastslow.fast.proposers import Proposer, ProposerInputs
from fastslow.fast.proposers import make_proposer as proposer_named
from fastslow.fast.proposers.validate import HeldOut, proposal_problem
from fastslow.fast.reflection.costs import Ceiling
from fastslow.fast.reflection.local import LocalReflectionLM
from fastslow.policy.loading import control_tokens, load_model, load_tokenizer, resolve_model
from fastslow.policy.pairing import tokens_past
from fastslow.policy.trials import vocabulary
from fastslow.routers import RouteDecider, make_router
from fastslow.slow.steering import Steering, SteeringSettings
from fastslow.streams import ARRIVAL, ArrivalStream, ScheduledStream, Setting, make_schedule
from fastslow.streams.epochs import EpochStream, Stream
from fastslow.streams.labels import Labels
from fastslow.streams.rehearsal import RehearsalStream
from fastslow.streams.streamed import SourceStream
from fastslow.tasks.base import Task
from fastslow.tasks.check import said, stated_answer
from fastslow.tasks.doubts import excerpt
from fastslow.tasks.families.streamed import StreamedTask
from fastslow.tasks.own import own_task
from fastslow.tasks.resolve import resolve_task
from fastslow.tasks.task_set import TaskSet, by_task, refuse_environments
from fastslow.topics.archive import Archive
from fastslow.topics.clusters import Clusters
from fastslow.topics.embedders import make_embedder
from fastslow.topics.shelf import Shelf
from fastslow.topics.topics import Topics

if TYPE_CHECKING:
    from fastslow.fast.reflection.endpoint import ReflectionLM

logger = logging.getLogger(__name__)

# Verified answers offered to proposers; more would cost scoring time without being used in one run.
MAX_DEMONSTRATIONS = 512

# Texts, and tokens of each, that an adapter may look at before it starts: peft's CorDA asks for 256 texts.
MAX_CALIBRATION = 256
MAX_CALIBRATION_TOKENS = 2048


@dataclass(frozen=True)
class Components:
    """The parts that a trainer is assembled from."""

    task: Task
    stream: Stream
    further: list[Stream]
    seed_context: Context
    fast: FastChannel
    router: RouteDecider
    topics: Topics
    held_out: HeldOut


def build_components(
    args: FastSlowConfig,
    *,
    tokenizer: PreTrainedTokenizerBase,
    model: PreTrainedModel,
    task: Task | None,
) -> Components:
    """Make the parts. Raises BadInput for whatever the settings name that does not exist or does not fit together."""
    task = own_task(task or task_from(args))
    train = task.split("train")
    refuse_empty(task)
    _check_turns(args, task)
    router = RouteDecider(
        make_router(args.router, seed=args.seed), min_fast=args.min_fast_share, min_slow=args.min_slow_share
    )
    _check_plans(args, router)
    proposer = make_proposer(args, tokenizer=tokenizer, model=model)
    held_out = HeldOut([*task.split("validation"), *task.split("test")], training=train)
    special = [t for t in control_tokens(tokenizer) if len(t) > 1] + tokens_past(vocabulary(model), tokenizer)
    check = partial(
        proposal_problem,
        count_tokens=lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"]),  # type: ignore[arg-type]
        max_tokens=args.max_context_tokens,
        held_out=held_out,
        special_tokens=special,
    )
    fast = FastChannel(
        proposer=proposer,
        check=check,
        plan=BudgetPlan(
            budget=args.fast_metric_calls,
            anchor_size=args.anchor_size,
            minibatch_size=args.reflection_minibatch_size,
            proposals_per_iteration=args.proposals_per_iteration,
        ),
        run_seed=args.seed,
    )
    stream = make_stream(args, task)
    shelf = make_shelf(args, tokenizer, special) if MODES[args.mode].retrieves else None
    return Components(
        task=task,
        stream=stream,
        further=further_streams(args, task),
        seed_context=seed_context(args.seed_instruction),
        fast=fast,
        router=router,
        topics=make_topics(args, task, stream, shelf=shelf),
        held_out=held_out,
    )


def check_answers(mode: Mode, task: Task, fits: Callable[[Example, str], bool]) -> None:
    """Refuse a mode that needs right answers for a task that has none, and warn where some are of no use; `fits` says
    whether an answer can be learned. Looks at the first examples of each task."""
    if not mode.needs_answers:
        return
    for name, examples in by_task(task, task.split("train")).items():
        looked_at = examples[:MAX_DEMONSTRATIONS]
        answers = [(example, answer) for example in looked_at if (answer := task.answer(example)) is not None]
        fitting = sum(fits(*pair) for pair in answers) if mode.learns_from == "answers" else len(answers)
        if answers and not fitting:
            raise BadInput(
                f"mode '{mode.name}' learns right answers of at most max_completion_length tokens, and task '{name}' "
                "has only longer ones, or questions that fill the model's window; raise max_completion_length."
            )
        if 0 < fitting < len(looked_at):
            logger.warning(
                "task '%s': of %d training questions, %d have a verified answer that can be used", name,
                *(len(looked_at), fitting),
            )  # fmt: skip
        if not answers:
            raise BadInput(
                f"mode '{mode.name}' needs right answers, and task '{name}' has no verified one to any training "
                "question; take mode rejection, which takes the model's own, or rl."
            )


def _check_turns(args: FastSlowConfig, task: Task) -> None:
    """Refuse settings that go by a single answer for a task that is an environment."""
    mode = MODES[args.mode]
    problem = (
        "advantages 'critic' judges the tokens of one answer; take group" if args.advantages == "critic"
        else f"mode '{mode.name}' teaches whole answers; take rl, fst or prompt"
        if mode.learns_from in ("answers", "teacher") or mode.consolidates
        else f"mode '{mode.name}' keeps right answers; take rl, fst or prompt" if mode.retrieves
        else ""
    )  # fmt: skip
    if problem:
        refuse_environments(task, problem)


def _check_plans(args: FastSlowConfig, router: RouteDecider) -> None:
    """Refuse settings that a rule which plans the rollouts of a step cannot keep."""
    if not router.plans_ahead:
        return
    if args.dynamic_sampling:
        raise BadInput(
            f"router '{args.router}' plans rollouts, and dynamic_sampling replaces them afterwards: take one of both."
        )
    if args.multi_objective_aggregation != "sum_then_normalize":
        raise BadInput(
            f"multi_objective_aggregation '{args.multi_objective_aggregation}' normalises over groups of one size, and "
            f"router '{args.router}' plans groups of several; leave it at sum_then_normalize."
        )


def task_from(args: FastSlowConfig) -> Task:
    names = args.tasks or ([args.task] if args.task else [])
    if not names:
        raise BadInput("no task given; set --task, e.g. --task 'reasoning_gym:products'. 'fastslow tasks' lists them.")
    sizes: dict[str, Any] = {
        name: getattr(args, name) for name in ("train_size", "validation_size", "test_size", "data_seed")
    }
    tasks = [resolve_task(name, **sizes) for name in names]
    streamed = next((task.name for task in tasks if isinstance(task, StreamedTask)), None)
    if streamed is not None and args.tasks:
        raise BadInput(f"task '{streamed}' is streamed, which is for one task; give it alone, as --task.")
    return TaskSet(tasks) if args.tasks else tasks[0]


def refuse_empty(task: Task) -> None:
    """Raise BadInput for a task, or one of several, without examples to train on or to measure on."""
    validation = by_task(task, task.split("validation"))
    for name, examples in by_task(task, task.split("train")).items():
        if not examples or not validation[name]:
            raise BadInput(f"task '{name}' needs training and validation examples, it has {len(examples)} to train on.")


def make_stream(args: FastSlowConfig, task: Task) -> Stream:
    """Make the stream of new examples and, where the settings ask for rehearsal, a share of earlier ones."""
    stream = _newcomers(args, task, args.seed)
    watched = args.retention_floor is not None and args.retention_action == "rehearse"
    if not args.rehearsal_share and not watched:
        return stream
    if isinstance(task, StreamedTask):
        raise BadInput(f"task '{task.name}' is streamed, and what has passed is forgotten: leave rehearsal_share at 0.")
    return RehearsalStream(stream, share=args.rehearsal_share, seed=args.seed)


def further_streams(args: FastSlowConfig, task: Task) -> list[Stream]:
    """Make the streams that dynamic sampling draws other examples of the same step from: other seeds, one schedule."""
    if args.dynamic_sampling and (isinstance(task, StreamedTask) or args.stream == ARRIVAL):
        raise BadInput("dynamic_sampling draws other examples of a step, and a stream of arrivals has no others.")
    rounds = range(1, args.dynamic_sampling + 1)
    return [_newcomers(args, task, derive_seed(args.seed, "dynamic", number)) for number in rounds]


def _newcomers(args: FastSlowConfig, task: Task, seed: int) -> Stream:
    """Make the stream of new examples: epochs of one task, its lines in their order, or several tasks by a schedule.
    `seed` shuffles the examples; the schedule follows the run's own."""
    size = args.questions_per_step
    if isinstance(task, StreamedTask):
        shuffled = None if args.stream == ARRIVAL else seed
        return SourceStream(task, batch_size=size, seed=shuffled)
    if not args.tasks:
        if args.stream == ARRIVAL:
            return ArrivalStream(task, batch_size=size)
        return EpochStream(task.split("train"), batch_size=size, seed=seed)
    tasks = list(by_task(task, task.split("train")).values())
    setting = Setting(len(tasks), args.stage_steps, size, args.seed)
    return ScheduledStream(make_schedule(args.stream, setting), tasks, replace(setting, seed=seed))


def make_steering(args: FastSlowConfig, stream: Stream) -> Steering:
    """Make what moves settings during a run: KL coefficient, brake, rehearsal."""
    return Steering(
        SteeringSettings(
            beta=args.beta,
            kl_target=args.kl_target,
            retention_floor=args.retention_floor,
            retention_action=args.retention_action,
            rehearsal_share=args.rehearsal_share,
            cycle_steps=args.slow_steps_per_cycle,
            looks_ahead=MODES[args.mode].fast or args.clusters == "inferred",
        ),
        stream,
    )


def make_topics(args: FastSlowConfig, task: Task, stream: Stream, *, shelf: Shelf | None = None) -> Topics:
    """Make what the settings let the learner know of its stream. Raises BadInput for an embedder that is not
    installed."""
    return Topics(
        labels=Labels(args.labels, tasks=list(by_task(task, task.split("train"))), seed=args.seed),
        stream=stream,
        clusters=Clusters(make_embedder(args.embedder)) if args.clusters == "inferred" else None,
        archive=Archive() if args.clusters != "none" and MODES[args.mode].fast else None,
        material=verified_demonstrations(task, most=MAX_DEMONSTRATIONS if shelf is None else None),
        shelf=shelf,
    )


def make_shelf(args: FastSlowConfig, tokenizer: PreTrainedTokenizerBase, special: Sequence[str]) -> Shelf:
    """Make an empty shelf for answers whose tokens this tokenizer counts, without those that hold a special token: it
    could forge a turn."""

    def tokens_of(text: str) -> int | None:
        if any(token in text for token in special):
            return None
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])  # type: ignore[arg-type]

    return Shelf(args.max_worked_examples, args.max_context_tokens, tokens_of)


def verified_demonstrations(
    task: Task, *, most: int | None = MAX_DEMONSTRATIONS
) -> list[tuple[Example, WorkedExample]]:
    """Collect training examples with answers that the scorer accepts, of `most` examples of each task, and warn of
    answers in the data that it does not."""
    verified = []
    for name, examples in by_task(task, task.split("train")).items():
        refused: list[Example] = []
        for example in examples[:most]:
            answer = task.answer(example)
            if answer is not None:
                verified.append((example, WorkedExample(example.question, answer)))
            else:
                refused.append(example)
        _warn_of_refused(task, name, refused, len(examples[:most]))
    return verified


def calibration_rows(
    args: FastSlowConfig, tokenizer: PreTrainedTokenizerBase, material: Sequence[tuple[Example, WorkedExample]]
) -> list[list[int]]:
    """Return token ids of training questions with right answers, each as one text."""
    rows = []
    for _, example in material[:MAX_CALIBRATION]:
        ids: Any = tokenizer(f"{example.question}\n{example.answer}", add_special_tokens=False)["input_ids"]
        rows.append(ids[:MAX_CALIBRATION_TOKENS])
    return [ids for ids in rows if ids]


def _warn_of_refused(task: Task, name: str, examples: Sequence[Example], looked_at: int) -> None:
    """Warn of those examples whose right answer stands in the data: the scorer does not accept it."""
    try:
        refused = [(e, answer) for e in examples if (answer := stated_answer(task, e)) is not None]
        if not refused:
            return
        (first, answer), hardly = refused[0], ", so that hardly anything can earn it" * (len(refused) == looked_at)
        verdict = said(task.score(first, answer))
    except Exception as error:  # a task of the user's may raise anything
        logger.warning("task '%s': its right answers cannot be looked at: %s", name, foreign.words(error))
        return
    logger.warning(
        "task '%s': of %d right answers of the data, the scorer gives %d less than full reward%s; the first: %s, %s: "
        "%s. 'fastslow tasks check' lists more.",
        *(name, looked_at, len(refused), hardly, first.where, excerpt(answer), verdict),
    )


def make_proposer(args: FastSlowConfig, *, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> Proposer:
    """Make the proposer that the settings name; a mode without a fast channel gets `demonstrations`, which is
    never asked."""
    inputs = ProposerInputs(
        max_worked_examples=args.max_worked_examples,
        edits="full" if args.edits == "full" else "small",
        make_reflection_lm=partial(make_reflection_lm, args, tokenizer=tokenizer, model=model),
    )
    return proposer_named(args.proposer if MODES[args.mode].fast else "demonstrations", inputs)


def make_reflection_lm(
    args: FastSlowConfig, *, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel
) -> ReflectionLM:
    """Make the client of the endpoint if one is given, else a local model: the named one, or a frozen copy of the
    base."""
    if args.reflection_base_url:
        # openai is slow to import; only runs that ask an endpoint pay for it.
        from fastslow.fast.reflection.endpoint import OpenAIReflectionLM

        return OpenAIReflectionLM(
            base_url=args.reflection_base_url,
            model=args.reflection_model,
            api_key_env=args.reflection_api_key_env,
            max_tokens=args.reflection_max_tokens,
            ceiling=Ceiling(
                tokens=args.reflection_budget_tokens,
                usd=args.reflection_budget_usd,
                price_prompt=args.reflection_price_prompt,
                price_completion=args.reflection_price_completion,
            ),
        )
    if not args.reflection_model:
        raise BadInput(
            f"proposer '{args.proposer}' needs a reflection LM: set --reflection_base_url (an OpenAI-compatible "
            "endpoint) with --reflection_model, or --reflection_model alone for a local model, "
            "e.g. --reflection_model smollm2-135m."
        )
    source = resolve_model(args.reflection_model)
    return LocalReflectionLM(
        load_model(source, trust_remote_code=args.trust_remote_code),
        load_tokenizer(source, trust_remote_code=args.trust_remote_code),
        max_new_tokens=args.reflection_max_tokens,
        template_date=args.template_date,
    )
