"""Couple the channels in a cycle: assign contexts, make rollouts, route groups, evolve contexts.

TRL's loop asks the cycle for one step after another (`slow.hooks.StepSource`). The cycle itself knows neither TRL nor
the optimiser: it hands over a `StepBatch`, and weights change elsewhere. Every process runs the same cycle on the same
examples; rollouts are dealt out to the processes and gathered (`policy.Policy.rollouts`), so all of them hold the same
population, routes and state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fastslow.config.settings import FastSlowConfig
from fastslow.contexts.population import Population
from fastslow.core import processes
from fastslow.core.errors import FastSlowError
from fastslow.core.modes import MODES
from fastslow.core.types import Example, Rollout, Route, Trace
from fastslow.fast.phase import FastChannel, FastPhase
from fastslow.loop.births import Births
from fastslow.loop.groups import Group, GroupMaker
from fastslow.loop.rollout_cache import RolloutCache
from fastslow.loop.state import LoopState
from fastslow.loop.teaching import OwnContexts, ShownAnswer, Teacher
from fastslow.loop.weighing import Weighing
from fastslow.policy.policy import Policy
from fastslow.record.recorder import Recorder
from fastslow.routers import RouteDecider
from fastslow.slow.hooks import StepBatch
from fastslow.slow.steering import Steering
from fastslow.streams.epochs import Stream, lookahead
from fastslow.topics.topics import Topics


class Cycle:
    """Make one step after another of both channels.

    Args:
        config: the run's settings.
        policy: answers examples under contexts, with the weights as they are.
        stream: where examples come from.
        topics: what the learner knows of the stream.
        fast: the fast channel.
        router: decides which channel absorbs a group.
        steering: what moves during a run: KL coefficient, brake, rehearsal.
        state: what is carried from step to step.
        recorder: writes down what happens.
        log: takes numbers to be logged with the current step.
        further: streams of other examples at the same step, for dynamic sampling.
        births: lets soft contexts enter the population; None where all are texts.
    """

    def __init__(
        self,
        config: FastSlowConfig,
        *,
        policy: Policy,
        stream: Stream,
        topics: Topics,
        fast: FastChannel,
        router: RouteDecider,
        steering: Steering,
        state: LoopState,
        recorder: Recorder,
        log: Callable[[Mapping[str, float]], None],
        further: Sequence[Stream] = (),
        births: Births | None = None,
    ):
        self.births = births
        self.mode = MODES[config.mode]
        self.policy = policy
        self.stream = stream
        self.topics = topics
        self.fast = fast
        self.router = router
        self.steering = steering
        self.recorder = recorder
        self._config = config
        self._log = log
        self.weighing = Weighing(config, policy=policy, topics=topics, state=lambda: self.groups.state)
        self.groups = GroupMaker(
            config, policy=policy, state=state, router=router, known=self.weighing.known, topic_of=topics.of, log=log,
            further=further,
        )  # fmt: skip

    def _teacher(self, step: int) -> Teacher | None:
        """Return who judges the rollouts of slow step `step`; None where their rewards do."""
        if self.consolidates(step):
            return OwnContexts(self.policy, self.topics, self.state.population)
        if self.mode.learns_from == "teacher":
            return ShownAnswer(self.policy, self.state.population.seed)
        return None

    @property
    def state(self) -> LoopState:
        """What is carried from step to step."""
        return self.groups.state

    @state.setter
    def state(self, state: LoopState) -> None:
        self.groups.state = state

    # The loop: one verb per stage.

    def next_step(self, step: int) -> StepBatch:
        """Return the data of optimiser step `step`, after the fast phases that are due before it."""
        self.policy.begin_step(step)
        if step % self._config.slow_steps_per_cycle == 0:
            self.state.cache = RolloutCache()  # never older than a cycle
        self.fast_phases(step)
        if not self.mode.slow and self.births is None:
            if self.mode.retrieves:
                self.topics.collect(self.stream.batch(step))
            return StepBatch()
        examples = self.stream.batch(step)
        self._observe(step, until=step + 1)
        self._steer(step, examples)
        beta = self.steering.beta if self.mode.slow else 0.0  # frozen weights have no KL to the base
        steered = {"beta": beta, "advantage_scale": self.steering.advantage_scale}
        if not self.mode.samples:
            return self.groups.answers(examples, **steered)
        with self.recorder.phase("rollout", step):
            plans = self.groups.plan(step, examples)
            groups = self.groups.roll_out(self.groups.assign(step, examples, plans, plain=self.consolidates(step)))
            groups, dropped = self.groups.refill(step, groups)
        self._log(self.policy.engine_metrics())
        routes = self._route(step, groups, dropped)
        teacher = self._teacher(step)
        return self.groups.batch(groups, [route.slow for route in routes], **steered, teacher=teacher)

    def consolidates(self, step: int) -> bool:
        """Return whether slow step `step` draws the plain prompt's answers to those of the contexts."""
        every = self._config.slow_steps_per_cycle
        end = min(step - step % every + every, self._config.max_steps)  # the last cycle may be a short one
        return self.mode.consolidates and step >= end - round(every * self._config.consolidation_share)

    def fast_phases(self, step: int) -> None:
        """Run the fast phases that are due before slow step `step`; step `max_steps` is the end of the run."""
        for cycle in self.cycles_at(step):
            self._fast_phase(step, cycle)

    def cycles_at(self, step: int) -> Sequence[int]:
        """Return the numbers of the cycles whose fast phase is due before slow step `step`."""
        config = self._config
        return list(self.mode.cycles_at(step, steps=config.max_steps, cycle_steps=config.slow_steps_per_cycle))

    # Steering

    def _steer(self, step: int, examples: Sequence[Example]) -> None:
        """Set what moves during a run: KL coefficient, brake, rehearsal."""
        self.steering.next_step({example.task for example in examples})
        if self.steering.active:
            self._log(self.steering.metrics(step))

    # Fast phases

    def _fast_phase(self, step: int, cycle: int) -> None:
        """Evolve the population on the lookahead of a cycle; every process ends with the same one."""
        self._observe(step, until=(cycle + 1) * self._config.slow_steps_per_cycle)
        ahead = self._ahead(cycle)
        self.weighing.write_down(step)
        self._take_in_hand(ahead)
        start = self.topics.recalled(self.state.population, ahead)
        budget = self._budget(step, start)
        if budget == 0:
            self.state.population = start  # the topics ahead may want others than those behind
            return
        with self.recorder.phase("fast", step):
            phase = self._evolve(cycle, start, ahead, budget)
        evolved = [phase.population.to_json(), sorted(phase.scores), len(phase.rollouts)]
        processes.check_same("the contexts of a fast phase", evolved)
        self.recorder.fast_phase(step, phase)
        self.topics.keep(phase.scores, self._anchor(cycle), policy_version=phase.population.policy_version)
        self.state.after_fast_phase(phase.population, phase.rollouts if self._config.reuse_fast_rollouts else [])
        self._log(phase.metrics)
        self.weighing.after_phase(phase)
        if phase.endpoint_error is None and phase.metrics["fst/fast/proposals"] > phase.metrics["fst/fast/invalid"]:
            self.state.effort.after(kept=self.weighing.brought(step, start))
        if self.births is not None:
            self.state.population, born = self.births.after(self.state.population, phase.scores)
            self.recorder.births(step, [one.line(cycle, self.policy.version) for one in born])
        self.recorder.standings(step, self.weighing.standings(step), self.state.population.lead.id)

    def _take_in_hand(self, ahead: Sequence[Example]) -> None:
        """Choose contexts for the topics of this lookahead from now on; one that was not at hand is a change."""
        topics = sorted({self.topics.of(example) for example in ahead})
        if self.state.at_hand and set(topics) - set(self.state.at_hand):
            self.state.effort.wake()
        self.state.at_hand = topics

    def _budget(self, step: int, start: Population) -> int | None:
        """Return the metric calls of the fast phase before a step: None for all that the settings give, 0 for none.

        Phases that come all before or all after the slow steps see the same weights: resting would change nothing.
        """
        effort = self.state.effort
        if self._config.fast_effort == "fixed" or self.mode.when != "between":
            return None
        lead = processes.from_main(lambda: self._course(step))
        budget = effort.budget(self.fast.plan, len(start.carried), lead)
        self._log({"fst/fast/budget": budget})
        if budget == 0:
            effort.rest()
            self.recorder.rests(step)
        return budget

    def _course(self, step: int) -> tuple[float, float] | None:
        """Return the expected reward of the lead after `step` steps and its rise over a cycle, where it is known."""
        known = self.weighing.known(step).ranked([self.state.population.lead.id])
        return (known[0].level, known[0].slope * self._config.slow_steps_per_cycle) if known else None

    def _evolve(self, cycle: int, start: Population, ahead: list[Example], budget: int | None) -> FastPhase:
        topics, anchor = self.topics, self._anchor(cycle)
        # The examples that the router sent to the fast channel since the last phase; none at the start.
        routed = cycle > 0 and self.mode.slow and self.mode.when == "between"
        at_hand = {topics.of(example) for example in ahead}
        pool = list(self.state.fast_pool.values()) if routed else ahead
        if pool and not at_hand & {topics.of(example) for example in pool}:  # a new stage begins
            pool = ahead
        pool = [example for example in pool if topics.of(example) in at_hand]
        if self.births is not None and not self.births.evolves_texts(start):
            pool = []
        return self.fast.evolve(
            start,
            policy=self.policy,
            anchor=anchor,
            pool=pool,
            experience=[trace for trace in self.state.experience if topics.of(trace.example) in at_hand],
            demonstrations=topics.demonstrations([*pool, *anchor], (cycle + 1) * self._config.slow_steps_per_cycle),
            cycle=cycle,
            budget=budget,
            told=self.recorder.rollouts_made,
        )

    # The stream

    def _ahead(self, cycle: int) -> list[Example]:
        """Return the examples that the cycle will train on, without those that do not fit the model's window."""
        cycle_steps = self._config.slow_steps_per_cycle
        ahead = lookahead(self.stream, cycle * cycle_steps, cycle_steps)
        return [example for example in ahead if self.policy.fits(self.state.population.seed, example)]

    def _anchor(self, cycle: int) -> list[Example]:
        return self.topics.anchor(self._ahead(cycle), self._config.anchor_size)

    def _observe(self, step: int, *, until: int) -> None:
        """Have the clusters observe every batch once, in order, before the batch is used."""
        if self.topics.clusters is None:
            return
        with self.recorder.phase("clusters", step):
            observations = list(self.topics.observe(until))
        if any(one.change is not None for one in observations):
            self.state.effort.wake()
        self.recorder.clusters(step, observations)

    # Routing

    def _route(self, step: int, groups: Sequence[Group], dropped: Sequence[Group]) -> list[Route]:
        """Decide which channel absorbs each group, and remember what the fast channel will see."""
        evidence = [group.evidence(step=step, topic=self.topics.of(group.example)) for group in groups]
        decisions = self.router.decide(evidence, [group.plan for group in groups])
        routes = [decision.route for decision in decisions]
        processes.check_same("the routes of a step", [route.value for route in routes])
        paid = [*dropped, *groups]
        self.topics.note([one for one in evidence if one.rewards_G])
        self.state.fast_pool.update(
            {group.example.id: group.example for group, route in zip(groups, routes, strict=True) if route.fast}
        )
        self._remember(groups, routes)
        self.weighing.enter((r for group in paid for r in group.made), [group.example for group in paid])
        self._watch_unscored([r for group in paid for r in group.rollouts])
        self.recorder.routes([group.example for group in groups], evidence, decisions, self.router.name)
        self.recorder.starving(step, self.router.starved())
        made, of_all = [r for group in paid for r in group.made], sum(len(group.rollouts) for group in paid)
        self.recorder.step_rollouts(
            fresh=len(made),
            reused=of_all - len(made),
            fresh_tokens=sum(rollout.tokens for rollout in made),
        )
        shown = [r for group in groups[: self._config.logged_groups] for r in group.rollouts]
        self.recorder.examples_of_rollouts(step, {group.example.id: group.example for group in groups}, shown)
        self._log({
            "fst/route/slow": sum(route.slow for route in routes) / len(routes),
            "fst/route/fast": sum(route.fast for route in routes) / len(routes),
            "fst/route/raised": sum(decision.route is not decision.rule for decision in decisions) / len(decisions),
            "fst/reused_rollouts": of_all - len(made),
            **({"fst/route/dropped": len(dropped) / len(groups)} if self._config.dynamic_sampling else {}),
        })  # fmt: skip
        return routes

    def _remember(self, groups: Sequence[Group], routes: Sequence[Route]) -> None:
        """Keep the rollouts of FAST and BOTH examples: free material for the proposers of the next fast phase."""
        if not self._config.reuse_slow_rollouts:
            return
        self.state.remember([
            Trace.of(group.example, rollout)
            for group, route in zip(groups, routes, strict=True)
            if route.fast
            for rollout in group.rollouts
            if rollout.verdict.scored
        ])  # fmt: skip

    def _watch_unscored(self, rollouts: Sequence[Rollout]) -> None:
        state = self.state
        if not rollouts:  # every example rests
            return
        state.unscored_steps = 0 if any(rollout.verdict.scored for rollout in rollouts) else state.unscored_steps + 1
        if state.unscored_steps >= min(self._config.slow_steps_per_cycle, self._config.max_steps):
            episodes = any(r.said or "environment" in str(r.verdict.info.get("unscored")) for r in rollouts)
            raise FastSlowError(
                f"not one of the rollouts of the last {state.unscored_steps} steps could be scored: every prompt is "
                f"too long for the model's window, or the scorer{' or the environment' * episodes} fails (see the "
                "log); there is nothing to learn from."
            )
