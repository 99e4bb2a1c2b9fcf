"""Measure whether a route is right: what each channel alone gains from an example, starting from frozen weights and
contexts.

For one example at a time, the group is rolled out and every routing rule gives its route. Then three arms are tried:
the contexts alone (a small fast phase on the example), the weights alone (a few slow steps on the example), and both
(half of each). All arms take the same number of rollouts and begin at the same state. The gain is the change of success
on the example and on held-out examples, sampled with the same seeds before and after.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError

from fastslow.bundles.bundle import open_bundle
from fastslow.config.dump import dump_config
from fastslow.config.settings import FastSlowConfig
from fastslow.contexts.context import Context
from fastslow.contexts.evidence import Book
from fastslow.contexts.population import Population
from fastslow.contexts.rendering import refuse_soft
from fastslow.contexts.slots import even_slots
from fastslow.core import foreign
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example, GroupEvidence, Rollout, Route, Trace
from fastslow.experiments.probe.results import ARMS, Probe, ProbePlan, ProbesFile
from fastslow.fast.gepa import BudgetPlan
from fastslow.fast.proposers import PROPOSERS
from fastslow.files.manifest import digest
from fastslow.files.run_directory import RunDirectory
from fastslow.loop.groups import evidence_of
from fastslow.loop.state import LoopState
from fastslow.policy.policy import Job
from fastslow.record.recorder import Recorder
from fastslow.routers import ROUTERS, Router, make_router
from fastslow.routers.base import checked_route
from fastslow.run.assemble import make_proposer, make_stream, make_topics, task_from
from fastslow.run.resume import check_named, read_config, summary_of
from fastslow.run.trainer import FastSlowTrainer
from fastslow.streams import ARRIVAL, STREAMS
from fastslow.tasks.base import Task
from fastslow.tasks.resolve import foreign_code
from fastslow.tasks.task_set import by_task
from fastslow.topics.settings import OURS
from fastslow.topics.topics import Topics

ANCHOR = 4
"""Number of examples on which the fast phase of a probe compares contexts."""


def probe_routes(
    run: RunDirectory,
    plan: ProbePlan,
    *,
    output: Path,
    trusted: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> list[Probe]:
    """Probe the bundle of a finished run. Every probe is appended to `output` (JSONL); earlier probes there stay.

    An example that cannot be scored is passed over. `note` is called with a line on every probe.

    Raises BadInput where the run is not done or has no bundle, where it brings code of its own and is not `trusted`,
    and where `output` holds probes of another plan, bundle or data.
    """
    config = _checked(run, trusted=trusted)
    task = task_from(config)
    about = {"bundle": _fingerprint(run.path / "bundle"), "data": _fingerprint_of_data(task), **asdict(plan)}
    with ProbesFile(output, about).held() as file:
        if len(file.probes) >= plan.examples:
            return list(file.probes.values())[: plan.examples]
        prober, started, made = Prober(run, plan, config, task), time.monotonic(), 0
        for example in prober.examples():
            if len(file.probes) >= plan.examples:
                break
            if example.id in file.probes or example.id in file.unscorable:
                continue
            probe = prober.probe(example)
            if probe is None:
                file.pass_over(example.id)
                note(f"example {example.id} cannot be scored: passed over")
                continue
            file.add(probe)
            made += 1
            each = (time.monotonic() - started) / made
            gains = ", ".join(f"{arm.value} {probe.gain(arm.value):+.2f}" for arm in ARMS)
            left = each * (plan.examples - len(file.probes)) / 60
            note(f"{len(file.probes)} of {plan.examples}: {gains} ({each:.0f} s an example, {left:.0f} min left)")
        if not file.probes:
            raise FastSlowError(f"not one training example of '{run.path}' can be scored under its lead context.")
        return list(file.probes.values())


class Unscored(Exception):
    """The success of an arm is unknown: no rollout of the example, or none of the held-out examples, was scored."""


class SingleExampleStream:
    """Bring one example, step after step."""

    def __init__(self, example: Example):
        self.example = example

    def batch(self, step: int) -> list[Example]:
        """Return the one example."""
        return [self.example]


class Prober:
    """Hold a trainer frozen at the end of a run, and every rule with its state at that point."""

    def __init__(self, run: RunDirectory, plan: ProbePlan, config: FastSlowConfig, task: Task):
        bundle = run.path / "bundle"
        opened = open_bundle(run.path)
        for context in opened.population.members:
            refuse_soft(context)
        self._plan = plan
        self._scratch = tempfile.TemporaryDirectory(prefix="fastslow-probe-")
        model: Any = opened.model
        if hasattr(model, "merge_and_unload"):  # an arm's adapters begin anew, from the weights of the run's end
            model = model.merge_and_unload()
        self._trainer = FastSlowTrainer(
            probe_config(config, plan, Path(self._scratch.name)), model=model, task=task, recorder=Recorder(None)
        )
        # A slow step runs in a mode without a fast channel, which would not make the proposer that a probe needs.
        self._trainer.parts.fast.proposer = make_proposer(config, tokenizer=opened.tokenizer, model=model)
        self._topics = _topics(config, task, bundle)
        self._end = config.max_steps
        self._population = opened.population
        self._start = {name: weight.detach().clone() for name, weight in self._trainer.slow.weights.items()}
        self._rules = dict(every_rule(config, bundle))
        self._group = int(config.num_generations or 8)
        floor = (config.population_size + 2) * ANCHOR + 2
        self._budget = max(floor, plan.steps * self._group)
        self._steps = math.ceil(self._budget / self._group)
        self._proposals = config.proposals_per_iteration

    def examples(self) -> list[Example]:
        """Return training examples in an order drawn from the seed of the plan."""
        train = sorted(self._trainer.parts.task.split("train"), key=lambda e: self._order("probe", e))
        return [e for e in train if self._trainer.policy.fits(self._population.lead, e)]

    def probe(self, example: Example) -> Probe | None:
        """Try all arms from the same start; None where the example cannot be scored. The trainer's state is
        restored."""
        self._reset()
        group = self._roll_out(example)
        evidence = self._evidence(example, group)
        # Before the rollouts of the arms are spent: a user's rule may fail.
        routes = {name: checked_route(rule, evidence).value for name, rule in self._rules.items()}
        learned: Any = self._rules["learned"]
        expected_gains = learned.explain(evidence).get("gain", {})
        gains, rollouts = {}, {}
        try:
            if not any(r.verdict.scored for r in group):
                raise Unscored
            before = self._success(example, self._population.lead)
            for arm in ARMS:
                after, rollouts[arm.value] = self._try(arm, example, group)
                gains[arm.value] = (after[0] - before[0], after[1] - before[1])
        except Unscored:
            return None
        finally:
            self._reset()
        return Probe(
            example_id=example.id,
            task=example.task,
            topic=evidence.task,
            evidence={"rewards": list(evidence.rewards_G), "context_ids": list(evidence.context_ids_G)},
            routes=routes,
            expected_gains=expected_gains,
            gains=gains,
            rollouts=rollouts,
        )

    def _try(self, arm: Route, example: Example, group: Sequence[Rollout]) -> tuple[tuple[float, float], int]:
        """Return the success after one arm, in two halves, and the number of rollouts that the arm took."""
        self._reset()
        share = 0.5 if arm is Route.BOTH else 1.0
        population, spent = self._population, 0
        if arm.fast:
            population, spent = self._evolve(example, group, share)
        if arm.slow:
            spent += self._descend(example, population, share)
        return self._success(example, population.lead), spent

    def _roll_out(self, example: Example) -> list[Rollout]:
        members = self._population.members
        (picks,) = even_slots(len(members), [0], self._group)
        seeds = (derive_seed(self._plan.seed, "probe", example.id, slot) for slot in range(self._group))
        jobs = [Job(members[index], example, seed) for index, seed in zip(picks, seeds, strict=True)]
        return self._trainer.policy.rollouts(jobs)

    def _evidence(self, example: Example, group: Sequence[Rollout]) -> GroupEvidence:
        """Return what a rule would see if the next step of the run brought this example."""
        return evidence_of(example, group, step=self._end, topic=self._topics.of(example))

    def _evolve(self, example: Example, group: Sequence[Rollout], share: float) -> tuple[Population, int]:
        """Run a fast phase whose minibatches are this example alone; contexts are compared on other examples of its
        topic."""
        fast, plan, topics = self._trainer.parts.fast, self._trainer.parts.fast.plan, self._topics
        train, topic = self._trainer.parts.task.split("train"), self._topics.of(example)
        others = [e for e in train if topics.of(e) == topic and e.id != example.id]
        others.sort(key=lambda e: self._order(example.id, e))
        anchor = [example, *others[: ANCHOR - 1]]
        members = len(self._population.carried)
        budget = max(int(share * self._budget), members * len(anchor) + len(anchor) + 2)
        fast.plan = BudgetPlan(
            budget=budget, anchor_size=len(anchor), minibatch_size=1, proposals_per_iteration=self._proposals
        )
        known = topics.demonstrations(anchor, until=self._end)
        try:
            phase = fast.evolve(
                self._population,
                policy=self._trainer.policy,
                anchor=anchor,
                pool=[example],
                experience=[Trace.of(example, r) for r in group if r.verdict.scored],
                # A context with the answer of the example itself would solve this example and no other.
                demonstrations=[d for d in known if d.question != example.question],
                cycle=0,
            )
        finally:
            fast.plan = plan
        if phase.endpoint_error is not None:
            raise FastSlowError(f"{phase.endpoint_error}; what was probed is kept: run the same command to go on.")
        return phase.population, int(phase.metrics["fst/fast/metric_calls"])

    def _descend(self, example: Example, population: Population, share: float) -> int:
        """Take slow steps on the groups of this example alone."""
        trainer, steps = self._trainer, max(1, int(share * self._steps))
        state, stream = trainer.cycle.state, trainer.cycle.stream
        trainer.cycle.state = LoopState(trainer.parts.task, population, Book(trainer.args.evidence_half_life))
        trainer.cycle.stream = SingleExampleStream(example)
        trainer.slow.fit(trainer.cycle, steps)
        trainer.cycle.state, trainer.cycle.stream = state, stream
        trainer.policy.begin_step(-1)
        return steps * self._group

    def _success(self, example: Example, context: Context) -> tuple[float, float]:
        """Return the success in two halves of the samples, each from the example itself and from held-out examples in
        equal parts."""
        task = self._trainer.parts.task
        validation = by_task(task, task.split("validation"))
        held_out = validation.get(example.task, task.split("validation"))[: self._plan.held_out]
        samples = self._plan.samples
        own = max(2, samples * len(held_out) // 2)
        draws = [(example, i) for i in range(own)] + [(e, i) for i in range(samples) for e in held_out]
        jobs = [Job(context, e, derive_seed(self._plan.seed, "after", e.id, i)) for e, i in draws]
        rewards = [r.verdict.reward for r in self._trainer.policy.rollouts(jobs)]
        halves = [(_mean(rewards[half:own:2]) + _mean(rewards[own + half :: 2])) / 2 for half in (0, 1)]
        return halves[0], halves[1]

    def _order(self, what: str, example: Example) -> int:
        return derive_seed(self._plan.seed, what, example.id)

    def _reset(self) -> None:
        self._trainer.slow.copy_weights(self._start)
        self._trainer.policy.begin_step(-1)


def probe_config(config: FastSlowConfig, plan: ProbePlan, folder: Path) -> FastSlowConfig:
    """Return the run's settings for slow steps on one example: no warm-up, no pull to the base, nothing written."""
    settings = yaml.safe_load(dump_config(config)) | {
        "mode": "rl", "router": "slow", "dynamic_sampling": 0, "from_bundle": "",
        "tasks": None, "task": "", "stream": "", "stage_steps": 0, "labels": "visible",
        "clusters": "none", "problems_per_step": 1, "max_steps": plan.steps, "max_minutes": None, "beta": 0.0,
        "kl_target": None, "sync_ref_model": False, "warmup_steps": 0, "rehearsal_share": 0.0, "retention_floor": None,
        "retention_action": "report", "eval_strategy": "no", "save_strategy": "no", "save_bundle": False,
        "keep_best": False, "keep_every": 0, "kl_examples": 0, "logged_groups": 0, "report_to": "none",
        "output_dir": str(folder),
    }  # fmt: skip
    return FastSlowConfig(**settings)


def every_rule(config: FastSlowConfig, bundle: Path) -> Iterable[tuple[str, Router]]:
    """Return the run's own router with its final state, and all of ours; rules with a memory have read the run's
    routes.

    Raises BadInput where the routes are damaged.
    """
    run, state, past = RunDirectory(bundle.parent), bundle / "router.json", []
    try:
        own = json.loads(state.read_text(encoding="utf-8"))["rule"]
        lines = [line for line in run.read("routes.jsonl") if line["rewards"]]  # not of examples that rested
        past = [(evidence_from_line(line), Route(line["route"])) for line in lines]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise BadInput(f"router.json or routes.jsonl of '{run.path}' is damaged ({problem}).") from error
    for name in dict.fromkeys([config.router, *ROUTERS.names()]):
        rule: Any = make_router(name, seed=config.seed)
        if name == config.router:
            try:
                foreign.call(rule.load_state_dict, own, who=f"router '{name}'")
            except foreign.Failed as fault:
                raise BadInput(f"router '{name}' does not take its state in '{state}': {fault}.") from fault
        elif hasattr(rule, "observe"):
            for evidence, route in past:
                rule.observe(evidence, route)
        yield name, rule


def evidence_from_line(line: Mapping[str, Any]) -> GroupEvidence:
    """Rebuild the evidence that the router saw from a line of routes.jsonl."""
    return GroupEvidence(
        step=line["step"],
        example_id=line["example_id"],
        task=line["topic"],
        context_ids_G=tuple(line["context_ids"]),
        rewards_G=tuple(line["rewards"]),
        completion_tokens_G=tuple(line["completion_tokens"]),
        surprisals_G=tuple(line["surprisals"]),
    )


def _checked(run: RunDirectory, *, trusted: bool) -> FastSlowConfig:
    """Return the settings of a run that can be probed; every refusal comes before a model is loaded."""
    if summary_of(run).get("status") != "done":
        raise BadInput(
            f"'{run.path}' is not done, and routes are probed from the end of a run: fastslow resume {run.path}"
        )
    if not (run.path / "bundle" / "bundle.json").is_file():
        raise BadInput(f"'{run.path}' holds no finished bundle to probe from; train with --save_bundle true.")
    config = read_config(run)
    check_named(run, config)
    foreign = _foreign(config)
    if foreign and not trusted:
        raise BadInput(
            f"'{run.path}' names {foreign}, which runs code of its maker's choice; if you trust it, say --trust_task."
        )
    return config


def _foreign(config: FastSlowConfig) -> str:
    """Return the first setting that names code outside this package; '' where there is none."""
    if config.trust_remote_code:
        return "trust_remote_code"
    parts = [
        ("router", config.router.partition(":")[0], ROUTERS.names()),
        ("stream", config.stream.partition(":")[0], ["", ARRIVAL, *STREAMS.names()]),
        ("proposer", config.proposer, PROPOSERS.names()),
        ("embedder", config.embedder, OURS),
    ]
    tasks = (foreign_code(name) for name in config.tasks or [config.task])
    others = (f"the {kind} '{name}'" for kind, name, ours in parts if name not in ours)
    return next(filter(None, (*tasks, *others)), "")


def _fingerprint(bundle: Path) -> str:
    """Hash everything that a probe starts from."""
    files = sorted([*bundle.glob("*.safetensors"), *bundle.glob("*.json")])
    return hashlib.sha256("".join(f"{path.name} {digest(path)}\n" for path in files).encode()).hexdigest()[:16]


def _fingerprint_of_data(task: Task) -> str:
    """Hash the examples that are probed and held out: a file may have changed since the run."""
    examples = [*task.split("train"), *task.split("validation")]
    lines = (json.dumps([e.id, e.task, e.question, task.answer(e)]) for e in examples)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _topics(config: FastSlowConfig, task: Task, bundle: Path) -> Topics:
    """Return what the learner of the run knew of its stream at the end; contexts of topics are not needed."""
    topics = replace(make_topics(config, task, make_stream(config, task)), archive=None)
    try:
        topics.read(bundle)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise BadInput(f"the clusters of '{bundle}' are damaged ({problem}).") from error
    return topics


def _mean(rewards: Sequence[float | None]) -> float:
    scored = [r for r in rewards if r is not None]
    if not scored:
        raise Unscored
    return sum(scored) / len(scored)
