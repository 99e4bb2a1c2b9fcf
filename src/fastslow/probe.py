"""Is a route right? What each channel alone gains from an example, measured from frozen weights and contexts.

For one example at a time: its group is rolled out and every routing rule gives its route; then the contexts alone
(a small fast phase on the example), the weights alone (a few slow steps on it) and both (half of each) are tried, each
for the same number of rollouts and each from the same start. The gain is the change of the success on the example and
on held-out ones, sampled with the same seeds before and after.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from .bundle import open_bundle
from .components import task_from
from .config import FastSlowConfig
from .contexts import Context
from .errors import BadInput
from .gepa_adapter import BudgetPlan
from .policy import Job
from .population import Population, assign_slots
from .recorder import Recorder
from .resuming import read_config
from .routers import ROUTERS, Router, make_router
from .run_dir import RunDirectory
from .seeding import derive_seed
from .tasks.task_set import by_task
from .trainer import FastSlowTrainer, surprisal
from .types import Example, GroupEvidence, Rollout, Route, Trace

ARMS = (Route.FAST, Route.SLOW, Route.BOTH)
ANCHOR = 4
"""Examples on which a probe's fast phase compares contexts."""


@dataclass(frozen=True)
class ProbePlan:
    """How an example is probed.

    Args:
        examples: how many of the training examples are probed.
        steps: slow steps of one arm; the others may spend as many rollouts.
        held_out: validation examples beside the example itself.
        samples: rollouts per held-out example on either side of an arm; the example itself gets as many in all.
        seed: of the choice of examples, and of everything drawn.
    """

    examples: int = 16
    steps: int = 4
    held_out: int = 16
    samples: int = 2
    seed: int = 0


@dataclass(frozen=True)
class Probe:
    """One example's counterfactuals.

    `gains` holds for FAST, SLOW and BOTH two independent estimates of the change of success, from separate halves of
    the samples: one to choose the best route by, the other to say what it is worth. `routes` is what each rule decided
    and `hopes` the gain that `learned` expected of each route.
    """

    example_id: str
    task: str
    evidence: Mapping[str, Any]
    routes: Mapping[str, str]
    hopes: Mapping[str, float]
    gains: Mapping[str, tuple[float, float]]
    rollouts: Mapping[str, int]

    def gain(self, route: str, half: int | None = None) -> float:
        """Change of success; of SKIP it is 0. `half` takes one of the two estimates, None their mean."""
        if route == Route.SKIP.value:
            return 0.0
        found = self.gains[route]
        return sum(found) / 2 if half is None else found[half]

    def best(self, half: int | None = None) -> str:
        """The route with the highest gain; SKIP where none gains anything."""
        return max((route.value for route in (Route.SKIP, *ARMS)), key=lambda route: self.gain(route, half))


def probe_routes(
    run: RunDirectory, plan: ProbePlan, *, output: Path, note: Callable[[str], None] = lambda text: None
) -> list[Probe]:
    """Probe a finished run's bundle. Every probe is appended to `output` (JSONL); those that stand there are kept.

    Raises BadInput where the run has no bundle, or `output` holds probes made under another plan.
    """
    about = {"run": run.path.name, **asdict(plan)}
    done = read_probes(output, about)
    if len(done) >= plan.examples:
        return done[: plan.examples]
    prober = Prober(run, plan)
    if not output.exists():
        output.write_text(json.dumps({"about": about}) + "\n", encoding="utf-8")
    for example in prober.examples()[len(done) :]:
        note(f"probing example {len(done) + 1} of {plan.examples}")
        done.append(prober.probe(example))
        with output.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(done[-1])) + "\n")
    return done


def read_probes(path: Path, about: Mapping[str, Any] | None = None) -> list[Probe]:
    """Probes written by `probe_routes`. Raises BadInput for another plan's, and for a damaged file."""
    if not path.exists():
        return []
    try:
        head, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        written = head["about"]
        probes = [
            Probe(**{**line, "gains": {route: tuple(pair) for route, pair in line["gains"].items()}}) for line in lines
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"'{path}' is damaged ({type(error).__name__}: {error}); delete it to probe again.") from error
    if about is not None and written != dict(about):
        raise BadInput(f"'{path}' holds probes made otherwise ({written}); delete it, or choose another --output.")
    return probes


class One:
    """A stream that brings one example, step after step."""

    def __init__(self, example: Example):
        self.example = example

    def batch(self, step: int) -> list[Example]:
        return [self.example]


class Prober:
    """A trainer frozen at a run's end, and every rule as it stands there."""

    def __init__(self, run: RunDirectory, plan: ProbePlan):
        bundle = run.path / "bundle"
        if not (bundle / "bundle.json").is_file():
            raise BadInput(f"'{run.path}' holds no finished bundle; routes are probed from the end of a run.")
        opened = open_bundle(run.path)
        config = read_config(run)
        self._plan = plan
        self._scratch = tempfile.TemporaryDirectory(prefix="fastslow-probe-")
        task = task_from(config)
        model: Any = opened.model
        if hasattr(model, "merge_and_unload"):  # the arm's updates go to every weight, as from a new start
            model = model.merge_and_unload()
        self._trainer = FastSlowTrainer(
            probe_config(config, plan, Path(self._scratch.name)), model=model, task=task, recorder=Recorder(None)
        )
        self._population = opened.population
        self._start = {name: weight.detach().clone() for name, weight in self._trainer.model.named_parameters()}
        self._rules = dict(every_rule(config, bundle))
        self._group = int(config.num_generations or 8)
        floor = (config.population_size + 2) * ANCHOR + 2
        self._budget = max(floor, plan.steps * self._group)
        self._steps = math.ceil(self._budget / self._group)
        self._proposals = config.proposals_per_iteration

    def examples(self) -> list[Example]:
        """Training examples in an order of the plan's seed."""
        train = sorted(self._trainer.parts.task.split("train"), key=lambda e: self._order("probe", e))
        return [e for e in train if self._trainer.policy.fits(self._population.lead, e)][: self._plan.examples]

    def probe(self, example: Example) -> Probe:
        """All arms from the same start. The trainer is left as it was found."""
        self._reset()
        group = self._roll_out(example)
        evidence = evidence_of(example, group)
        before = self._success(example, self._population.lead)
        gains, rollouts = {}, {}
        for arm in ARMS:
            share = 0.5 if arm is Route.BOTH else 1.0
            population, spent = self._population, 0
            if arm.fast:
                population, spent = self._evolve(example, group, share)
            if arm.slow:
                spent += self._descend(example, population, share)
            after = self._success(example, population.lead)
            gains[arm.value] = (after[0] - before[0], after[1] - before[1])
            rollouts[arm.value] = spent
            self._reset()
        learned = self._rules["learned"]
        hopes = learned.explain(evidence).get("gain", {}) if hasattr(learned, "explain") else {}  # type: ignore[attr-defined]
        return Probe(
            example_id=example.id,
            task=example.task,
            evidence={"rewards": list(evidence.rewards_G), "context_ids": list(evidence.context_ids_G)},
            routes={name: rule.route(evidence).value for name, rule in self._rules.items()},
            hopes=hopes,
            gains=gains,
            rollouts=rollouts,
        )

    def _roll_out(self, example: Example) -> list[Rollout]:
        members = self._population.members
        (picks,) = assign_slots(len(members), [0], self._group)
        seeds = (derive_seed(self._plan.seed, "probe", example.id, slot) for slot in range(self._group))
        jobs = [Job(members[index], example, seed) for index, seed in zip(picks, seeds, strict=True)]
        return self._trainer.policy.rollouts(jobs)

    def _evolve(self, example: Example, group: Sequence[Rollout], share: float) -> tuple[Population, int]:
        """A fast phase whose minibatches are this example alone; contexts are compared on neighbours."""
        fast, plan = self._trainer.parts.fast, self._trainer.parts.fast.plan
        others = [e for e in self._trainer.parts.task.split("train") if e.task == example.task and e.id != example.id]
        others.sort(key=lambda e: self._order(example.id, e))
        anchor = [example, *others[: ANCHOR - 1]]
        members = len(self._population.carried)
        budget = max(int(share * self._budget), members * len(anchor) + len(anchor) + 2)
        fast.plan = BudgetPlan(
            budget=budget, anchor_size=len(anchor), minibatch_size=1, proposals_per_iteration=self._proposals
        )
        known = self._trainer.topics.demonstrations(anchor, until=1)
        try:
            phase = fast.run(
                self._population,
                policy=self._trainer.policy,
                anchor=anchor,
                pool=[example],
                experience=[Trace(example, r.context_id, r.text, r.verdict) for r in group if r.verdict.scored],
                # The example's own answer in a context would answer the example and nothing else.
                demonstrations=[d for d in known if d.question != example.question],
                cycle=0,
            )
        finally:
            fast.plan = plan
        return phase.population, int(phase.metrics["fst/fast/metric_calls"])

    def _descend(self, example: Example, population: Population, share: float) -> int:
        """Slow steps on this example's groups alone."""
        trainer, steps = self._trainer, max(1, int(share * self._steps))
        trainer.population = population
        trainer.parts = replace(trainer.parts, stream=One(example))
        trainer.optimizer = trainer.lr_scheduler = None
        trainer._step, trainer._buffered_inputs = 0, None  # type: ignore[assignment]
        trainer.args.max_steps = steps
        trainer.train()
        trainer.policy.begin_step(-1)
        return steps * self._group

    def _success(self, example: Example, context: Context) -> tuple[float, float]:
        """Success in two halves of the samples, half of each from the example itself, half from held-out ones."""
        task = self._trainer.parts.task
        held_out = by_task(task, task.split("validation"))[_own_task(task, example)][: self._plan.held_out]
        samples = self._plan.samples
        own = max(2, samples * len(held_out) // 2)
        draws = [(example, i) for i in range(own)] + [(e, i) for i in range(samples) for e in held_out]
        jobs = [Job(context, e, derive_seed(self._plan.seed, "after", e.id, i)) for e, i in draws]
        rollouts = self._trainer.policy.rollouts(jobs)
        halves = []
        for half in (0, 1):
            mine = [r.verdict.reward for r in rollouts[half:own:2]]
            rest = [r.verdict.reward for r in rollouts[own + half :: 2]]
            halves.append((_mean(mine) + _mean(rest)) / 2)
        return halves[0], halves[1]

    def _order(self, what: str, example: Example) -> int:
        return derive_seed(self._plan.seed, what, example.id)

    def _reset(self) -> None:
        with torch.no_grad():
            for name, weight in self._trainer.model.named_parameters():
                weight.copy_(self._start[name])
        self._trainer.population = self._population
        self._trainer.policy.begin_step(-1)


def probe_config(config: FastSlowConfig, plan: ProbePlan, folder: Path) -> FastSlowConfig:
    """The run's settings, for slow steps on one example: no warm-up, no pull to the base, nothing written."""
    names = (
        "model", "seed", "population_size", "proposer", "edits", "max_worked_examples", "max_context_tokens",
        "reflection_model", "reflection_base_url", "reflection_api_key_env", "reflection_max_tokens", "loss_type",
        "loss_aggregation", "epsilon_high", "learning_rate", "num_generations", "max_completion_length", "temperature",
        "top_p", "top_k", "bf16", "per_device_train_batch_size", "seed_instruction", "chat_template_kwargs",
        "trust_remote_code", "packing", "max_grad_norm",
    )  # fmt: skip
    return FastSlowConfig(
        **{name: getattr(config, name) for name in names},
        mode="rl", router="slow", problems_per_step=1, max_steps=plan.steps, beta=0.0, warmup_steps=0,
        eval_strategy="no", save_strategy="no", save_bundle=False, kl_examples=0, output_dir=str(folder),
    )  # fmt: skip


def every_rule(config: FastSlowConfig, bundle: Path) -> Iterable[tuple[str, Router]]:
    """The run's own router, as the run left it, and all of ours; those with a memory have read the run's routes."""
    states = json.loads((bundle / "router.json").read_text(encoding="utf-8"))
    lines = RunDirectory(bundle.parent).read("routes.jsonl")
    past = [(evidence_from_line(line), Route(line["route"])) for line in lines]
    for name in dict.fromkeys([config.router, *ROUTERS.names()]):
        rule = make_router(name, seed=config.seed)
        if name == config.router:
            rule.load_state_dict(states["rule"])
        elif hasattr(rule, "observe"):
            for evidence, route in past:
                rule.observe(evidence, route)  # type: ignore[attr-defined]
        yield name, rule


def evidence_from_line(line: Mapping[str, Any]) -> GroupEvidence:
    """A line of routes.jsonl as the router saw it."""
    return GroupEvidence(
        step=line["step"],
        example_id=line["example_id"],
        task=line["task"],
        context_ids_G=tuple(line["context_ids"]),
        rewards_G=tuple(line["rewards"]),
        completion_tokens_G=tuple(line["completion_tokens"]),
        surprisals_G=tuple(line.get("surprisals", ())),
    )


def evidence_of(example: Example, group: Sequence[Rollout]) -> GroupEvidence:
    return GroupEvidence(
        step=0,
        example_id=example.id,
        task=example.task,
        context_ids_G=tuple(r.context_id for r in group),
        rewards_G=tuple(r.verdict.reward for r in group),
        completion_tokens_G=tuple(len(r.completion_ids) for r in group),
        surprisals_G=tuple(surprisal(r) for r in group),
    )


def _own_task(task: Any, example: Example) -> str:
    """Name under which `by_task` keeps the examples of this one's task."""
    groups = by_task(task, task.split("train"))
    return next(name for name, some in groups.items() if any(e.id == example.id for e in some))


def _mean(values: Sequence[float | None]) -> float:
    scored = [v for v in values if v is not None]
    return sum(scored) / len(scored) if scored else 0.0
