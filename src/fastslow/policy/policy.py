"""The policy for everyone but the optimiser: it answers examples under contexts.

Rendering, tokenising, sampling and scoring happen here and nowhere else, so that a rollout made for the fast
channel can later train the slow one.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from transformers import PreTrainedTokenizerBase

from fastslow.contexts.context import Context
from fastslow.contexts.rendering import render, render_soft
from fastslow.core import foreign, processes
from fastslow.core.errors import FastSlowError, Stopped
from fastslow.core.types import Example, Rollout, Verdict
from fastslow.policy.chat import Chat, named
from fastslow.policy.conversations import Conversation, Turns
from fastslow.policy.dealing import Dealer
from fastslow.policy.engines.base import Engine, Prompt, Sample, SamplingParams, go_on
from fastslow.policy.settings import TEMPLATE_DATE
from fastslow.policy.soft_rows import SoftRows
from fastslow.policy.thinking import NO_END, AnswerReader
from fastslow.policy.tripwire import Tripwire
from fastslow.tasks.base import Task
from fastslow.tasks.episodes import Episode, begin
from fastslow.tasks.own import own_task
from fastslow.tasks.verdicts import REASONS_KEPT

logger = logging.getLogger(__name__)

T = TypeVar("T")

TOO_LONG = "the context and the question do not fit the model's window"
ANSWER_TOO_LONG = "the right answer is longer than max_completion_length"
RESTS = "nothing was generated for this example in this step"


@dataclass(frozen=True)
class Job:
    """One rollout to make."""

    context: Context
    example: Example
    seed: int


class Policy:
    """Answer jobs with rollouts under the weights of `version`.

    `soft` holds the rows of soft contexts, where the engine's model has them. `reasoning` says whether scorers read the
    thoughts of a model that thinks first (`AnswerReader`). `max_turns` is the most turns of an episode.
    `stops` says whether this process was asked to stop: rollouts of no optimiser step then end early, on all processes.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        tokenizer: PreTrainedTokenizerBase,
        task: Task,
        params: SamplingParams,
        window: int,
        chat_template_kwargs: dict[str, Any] | None = None,
        template_date: str = TEMPLATE_DATE,
        ids_below: int | None = None,
        tripwire: Tripwire | None = None,
        soft: SoftRows | None = None,
        reasoning: str = "keep",
        max_turns: int = 1,
        stops: Callable[[], bool] = lambda: False,
    ):
        self.task = own_task(task)
        self.params = params
        self.version = -1
        self.skipped = 0
        self.engine = engine
        self._tokenizer = tokenizer
        self.window = min(window, engine.window or window)
        self.tripwire = tripwire
        self._soft = soft
        self._stops = stops
        self._chat = Chat(tokenizer, kwargs=chat_template_kwargs, date=template_date, ids_below=ids_below)
        self._prompts: dict[tuple[str, str], tuple[int, ...]] = {}
        self._prefixes: dict[str, tuple[int, ...]] = {}
        self._scorer_faults: Counter[str] = Counter()
        self._dealer = Dealer()
        self._reader = AnswerReader(tokenizer, reasoning, tools=(chat_template_kwargs or {}).get("tools"))
        self._max_turns = max_turns

    def refresh(self, version: int) -> None:
        """Follow the optimiser: sample from the weights after `version` steps from now on."""
        if version != self.version:
            self._dealer.forget()
        self.version = version
        self.engine.refresh(version)

    def begin_step(self, version: int) -> None:
        """Call `refresh`, and drop what was computed before.

        The last bits of a cached context depend on the batch it was computed in. Because the cache is dropped here, a
        resumed run, which has no cache, computes what the unbroken run does.
        """
        self.engine.forget()
        self._dealer.forget()
        self.refresh(version)

    def fits(self, context: Context, example: Example) -> bool:
        """Return whether a full-length answer to `example` under `context` fits the model's window."""
        return len(self.prompt_ids(context, example)) + self.params.max_new_tokens <= self.window

    def prompt_ids(self, context: Context, example: Example) -> tuple[int, ...]:
        key = (context.id, example.id)
        if key not in self._prompts:
            if len(self._prompts) > 100_000:  # a long stream must not grow without bound
                self._prompts.clear()
            self._prompts[key] = self._ids(context, example)
        return self._prompts[key]

    def _ids(self, context: Context, example: Example) -> tuple[int, ...]:
        if context.soft is None or self._soft is None:
            messages = render(context, example, system_role=self._chat.system_role)
            return self._chat.ids(messages, named(example))
        ((kind, _),) = context.components.items()
        before, after = self.around(kind, example)
        return before + self._soft.ids_of(context.soft) + after

    def around(self, kind: str, example: Example) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the token ids before and after the rows of a soft context of this kind; see `render_soft`."""
        stand_in = stand_in_for(message["content"] for message in example.messages)
        messages = render_soft(kind, example, stand_in, system_role=self._chat.system_role)
        return self._chat.around(messages, stand_in, named(example))

    def check_prompts(self, context: Context, examples: Iterable[Example]) -> None:
        """Raise BadInput naming the first example whose turns the chat template refuses or leaves out."""
        for example in examples:
            messages = render(context, example, system_role=self._chat.system_role)
            check = self._chat.ids if self._chat.may_pass_the_end else self._chat.text
            check(messages, named(example))

    @property
    def shows_worked_examples(self) -> bool:
        """Whether the chat template shows questions and answers that come before the question."""
        return self._chat.shows_worked_examples()

    def rollouts(
        self, jobs: Sequence[Job], params: SamplingParams | None = None, *, step: bool = False
    ) -> list[Rollout]:
        """Return one scored rollout per job, in order; jobs that do not fit the window come back unscored.

        Every process has to call this method, with the same jobs: the jobs are dealt out in equal shares, and each
        process gets all rollouts back. `step` says that the rollouts are those of an optimiser step, of which more are
        compared with the model in training where a separate engine makes them.

        Raises Stopped where the run was asked to stop, but for those of a step; FastSlowError where the weights give a
        log-probability that is not finite, EngineError where a separate engine fails or has other weights, and
        ContractBroken where the processes brought different jobs.
        """
        params = params or self.params
        if self.engine.separate:
            self.engine.refresh(self.version)  # it may have been restarted since
        self.engine.proceed = go_on if step else self.heed
        rollouts = self._roll_out(jobs, params) if processes.count() == 1 else self._shared(jobs, params)
        made = [at for at, rollout in enumerate(rollouts) if rollout.verdict.info.get("unscored") != TOO_LONG]
        self.skipped += len(rollouts) - len(made)
        if self.tripwire is not None and params.whole:
            self.tripwire.check(
                [rollouts[at] for at in made],
                version=self.version,
                temperature=params.temperature or 1.0,
                step=step,
                place=lambda at: self.engine.place(self._prompt(jobs[made[at]])),
            )
        return rollouts

    def heed(self) -> None:
        """Raise Stopped where this process was asked to stop. What it ends, all processes have to end."""
        if self._stops():
            raise Stopped("the run was asked to stop.")

    def _shared(self, jobs: Sequence[Job], params: SamplingParams) -> list[Rollout]:
        """Make this process's share of the rollouts, and return all of them."""
        processes.check_same("the rollouts to make", [(job.context.id, job.example.id, job.seed) for job in jobs])
        dealt = self._dealer.deal([job.context.id for job in jobs], processes.count())
        made: list[Rollout] = []
        problem: FastSlowError | None = None
        try:
            made = self._roll_out([jobs[place] for place in dealt[processes.rank()]], params)
        except FastSlowError as error:  # raised on every process once all have met, or the others would wait for ever
            problem = error.with_traceback(None)
        shares = processes.gather([(problem, made)])
        problem = next((error for error, _ in shares if error is not None), None)
        if problem is not None:
            raise problem
        places = [place for own in dealt for place in own]
        by_place = dict(zip(places, (rollout for _, share in shares for rollout in share), strict=True))
        return [by_place[place] for place in range(len(jobs))]

    def _roll_out(self, jobs: Sequence[Job], params: SamplingParams) -> list[Rollout]:
        """Return one scored rollout per job, made here."""
        self.engine.proceed()
        rollouts = [self.nothing(job.example, job.context, TOO_LONG) for job in jobs]
        fitting = [i for i, job in enumerate(jobs) if self.fits(job.context, job.example)]
        begun = {i: self._begin(jobs[i].example) for i in fitting}
        answered = [i for i in fitting if begun[i] is None]
        for i, rollout in zip(answered, self._answer([jobs[i] for i in answered], params), strict=True):
            rollouts[i] = rollout
        broken = {i: made for i, made in begun.items() if isinstance(made, Verdict)}
        for i, verdict in broken.items():
            rollouts[i] = self.nothing(jobs[i].example, jobs[i].context, str(verdict.info["unscored"]))
        episodes = {i: made for i, made in begun.items() if made is not None and not isinstance(made, Verdict)}
        for i, rollout in zip(
            episodes, self._converse([(jobs[i], episodes[i]) for i in episodes], params), strict=True
        ):
            rollouts[i] = rollout
        return rollouts

    def _answer(self, jobs: Sequence[Job], params: SamplingParams) -> list[Rollout]:
        """Return rollouts of one answer each."""
        if not jobs:
            return []
        prompts = [self._prompt(job) for job in jobs]
        samples = self._sample(prompts, params)
        texts = self._tokenizer.batch_decode([list(s.ids) for s in samples], skip_special_tokens=True)
        return [
            Rollout(
                example_id=job.example.id,
                context_id=job.context.id,
                prompt_ids=prompt.ids,
                completion_ids=sample.ids,
                logprobs=sample.logprobs,
                text=text,
                verdict=self._judge(job.example, self._reader.answer(prompt.ids, sample.ids, text)),
                policy_version=self.version,
                context_tokens=prompt.prefix,
            )
            for job, prompt, sample, text in zip(jobs, prompts, samples, texts, strict=True)
        ]

    def _converse(self, begun: Sequence[tuple[Job, Episode]], params: SamplingParams) -> list[Rollout]:
        """Return rollouts of several turns, in which environments reply."""
        conversations = [Conversation(self._prompt(job), episode) for job, episode in begun]
        examples = {id(one): job.example for one, (job, _) in zip(conversations, begun, strict=True)}

        def read(prompt: Prompt, sample: Sample) -> tuple[str, str | None]:
            text = str(self._tokenizer.decode(list(sample.ids), skip_special_tokens=True))
            return text, self._reader.turn(prompt.ids, sample.ids, text)

        def ask(one: Conversation, ask: Callable[[], T]) -> T | Verdict:
            return self._asked(examples[id(one)], ask, "environment")

        turns = Turns(
            chat=self._chat,
            sample=lambda prompts: self._sample(prompts, params),
            read=read,
            ask=ask,
            window=self.window,
            longest=params.max_new_tokens,
            most=self._max_turns,
        )
        return [
            Rollout(
                job.example.id, job.context.id, one.prompt.ids, tuple(one.ids), tuple(one.logprobs), one.text, verdict,
                self.version, one.prompt.prefix, tuple(one.said),
            )
            for (job, _), one, verdict in zip(begun, conversations, turns.play(conversations), strict=True)
        ]  # fmt: skip

    def _sample(self, prompts: list[Prompt], params: SamplingParams) -> list[Sample]:
        """Return a completion of each prompt. Raises FastSlowError for a log-probability that is not finite."""
        samples = self.engine.sample(prompts, params)
        broken = next((i for i, sample in enumerate(samples) if not math.isfinite(sum(sample.logprobs))), None)
        if broken is not None:
            said = f", says {self.engine.place(prompts[broken])}" if self.engine.separate else ""
            raise FastSlowError(
                f"after {self.version} steps the policy gives its own tokens a log-probability that is not finite"
                f"{said}; what was saved before is whole. A lower learning_rate may help."
            )
        return samples

    def engine_metrics(self) -> dict[str, float]:
        """Return what is logged of a separate engine: the gap measured last, and the share of prompt tokens so far that
        the servers had cached, where they say so. Nothing of an engine in this process."""
        usage, metrics = self.engine.usage(), {}
        if self.tripwire is not None and self.tripwire.last is not None:
            gap = self.tripwire.last
            metrics = {
                "fst/engine_gap": gap.largest, "fst/engine_gap_mean": gap.mean, "fst/engine_gap_rows": float(gap.rows),
            }  # fmt: skip
        if "cached_tokens" in usage and usage["prompt_tokens"]:
            metrics["fst/engine_hit_rate"] = usage["cached_tokens"] / usage["prompt_tokens"]
        return metrics

    def describe_engine(self) -> dict[str, Any]:
        """Return what summary.json says of the engine."""
        measured = {} if self.tripwire is None else {"largest_gap": self.tripwire.largest}
        return {**self.engine.describe(), **measured}

    def close(self) -> None:
        """Let go of the engine. Nothing can be sampled afterwards."""
        self.engine.close()

    def state_dict(self) -> dict[str, int]:
        """Return the number of rollouts that were not made because they did not fit the window."""
        return {"skipped": self.skipped}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Restore the number of rollouts that were not made."""
        self.skipped = state["skipped"]

    def score(self, example: Example, text: str) -> Verdict:
        """Return the task's verdict; a scorer that raises makes the rollout unscored, logged once per kind of fault."""
        return self._asked(example, lambda: self.task.score(example, text), "scorer")

    def _begin(self, example: Example) -> Episode | Verdict | None:
        """Return a new episode of an example, a verdict where its environment raised; None where one answer is all."""
        return self._asked(example, lambda: begin(self.task, example), "environment")

    def _asked(self, example: Example, ask: Callable[[], T], who: str) -> T | Verdict:
        """Return what a scorer or an environment says; the verdict of an unscored rollout where it raises."""
        try:
            return ask()
        except Exception as error:  # no fault of theirs may become a reward
            fault = foreign.words(error)[:200]
            self._scorer_faults[fault] += 1
            if self._scorer_faults[fault] == 1 and len(self._scorer_faults) <= REASONS_KEPT:
                logger.warning(
                    "the %s of task '%s' raised %s on %s; such rollouts count as unscored",
                    *(who, self.task.name, fault, example.where),
                )
            return Verdict.unscored(f"{who} raised {fault}")

    def _judge(self, example: Example, answer: str | None) -> Verdict:
        """Return the verdict on what a scorer reads of a completion; None stands for thoughts without an end."""
        verdict = self.score(example, answer or "")
        return verdict if answer is not None else replace(verdict, feedback=NO_END + verdict.feedback)

    def _prompt(self, job: Job) -> Prompt:
        ids = self.prompt_ids(job.context, job.example)
        shared = common_prefix([ids, self._prefix(job.context)])
        return Prompt(ids=ids, seed=job.seed, prefix=min(shared, len(ids) - 1))

    def _prefix(self, context: Context) -> tuple[int, ...]:
        """Return the token ids that every prompt under `context` is expected to start with, from two training
        examples."""
        if context.id not in self._prefixes:
            known = {worked.question.strip() for worked in context.worked_examples}
            probes = [e for e in self.task.split("train")[:32] if e.question.strip() not in known][:2]
            prompts = [self.prompt_ids(context, example) for example in probes]
            common = prompts[0][: common_prefix(prompts)] if len(prompts) == 2 else ()
            self._prefixes[context.id] = common
        return self._prefixes[context.id]

    def given(self, context: Context, example: Example, answer: str) -> Rollout:
        """Return a row whose completion is `answer` and the end token: nobody sampled it, so that its log-probabilities
        are 0. Unscored where it is longer than answers may be, or does not fit the window."""
        end = (int(self._tokenizer.eos_token_id),)  # type: ignore[arg-type]
        ids = tuple(self._tokenizer(answer, add_special_tokens=False)["input_ids"])  # type: ignore[arg-type]
        if len(ids) + 1 > self.params.max_new_tokens:
            return self.nothing(example, context, ANSWER_TOO_LONG)
        if not self.fits(context, example):
            return self.nothing(example, context, TOO_LONG)
        prompt, completion = self.prompt_ids(context, example), ids + end
        return Rollout(
            example.id, context.id, prompt, completion, (0.0,) * len(completion), answer, self.score(example, answer),
            self.version,
        )  # fmt: skip

    def nothing(self, example: Example, context: Context, reason: str = RESTS) -> Rollout:
        """Return the unscored row of an example for which nothing is generated; `reason` says why."""
        # One end token stands for the completion: trainers expect rows, and unscored rows never reach the loss.
        end = (int(self._tokenizer.eos_token_id),)  # type: ignore[arg-type]
        return Rollout(example.id, context.id, end, end, (0.0,), "", Verdict.unscored(reason), self.version)


def stand_in_for(texts: Iterable[str]) -> str:
    """Return a word that none of these texts holds."""
    whole = "\n".join(texts)
    return next(word for i in itertools.count() if (word := f"fastslow-rows-{i}-stand-here") not in whole)


def common_prefix(rows: Sequence[Sequence[int]]) -> int:
    """Count the leading token ids that all rows share."""
    shared = 0
    for column in zip(*rows, strict=False):
        if len(set(column)) > 1:
            break
        shared += 1
    return shared
