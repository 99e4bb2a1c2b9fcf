"""State that the cycle carries from step to step: contexts, rollouts to serve again, material for the fast channel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastslow.contexts.evidence import Book
from fastslow.contexts.population import Population
from fastslow.core.errors import BadInput
from fastslow.core.types import Example, Rollout, Trace, Verdict
from fastslow.fast.effort import Effort
from fastslow.files.run_directory import clean
from fastslow.loop.rollout_cache import RolloutCache
from fastslow.tasks.base import Task, find_training

# Experience shown to proposers is bounded: older rollouts say less about the current weights.
MAX_EXPERIENCE = 512


@dataclass
class LoopState:
    """State of the cycle, the same on every process.

    Attributes:
        task: the source of the examples when a checkpoint is loaded.
        population: the contexts in use.
        cache: rollouts of the last fast phase that wait for a matching slot.
        experience: rollouts of the slow steps since the last fast phase, for proposers to read.
        fast_pool: examples routed to the fast channel since then, by id.
        unscored_steps: steps in a row without one scored rollout.
        book: what all rollouts of the last steps say of the contexts.
        at_hand: the topics of the latest fast phase's lookahead, for which contexts are chosen.
        owed: by context, the part of a slot that dealing by share still owes it.
        effort: how much of its budget the next fast phase gets.
    """

    task: Task
    population: Population
    book: Book
    cache: RolloutCache = field(default_factory=RolloutCache)
    experience: list[Trace] = field(default_factory=list)
    fast_pool: dict[str, Example] = field(default_factory=dict)
    unscored_steps: int = 0
    at_hand: list[str] = field(default_factory=list)
    owed: dict[str, float] = field(default_factory=dict)
    effort: Effort = field(default_factory=Effort)

    def remember(self, traces: list[Trace]) -> None:
        """Add to the experience, and drop the oldest."""
        self.experience = [*self.experience, *traces][-MAX_EXPERIENCE:]

    def after_fast_phase(self, population: Population, rollouts: list[Rollout]) -> None:
        """Continue with a new population; `rollouts` may be served to the slow steps."""
        self.population, self.cache = population, RolloutCache(rollouts)
        self.experience, self.fast_pool = [], {}

    def state_dict(self) -> dict[str, Any]:
        """Return plain data: examples by id, contexts and rollouts whole."""
        return {
            "population": self.population.to_json(),
            "cache": [_rollout_to_json(rollout) for rollout in self.cache.waiting()],
            "experience": [_trace_to_json(trace) for trace in self.experience],
            "fast_pool": list(self.fast_pool),
            "unscored_steps": self.unscored_steps,
            "book": self.book.state_dict(),
            "at_hand": self.at_hand,
            "owed": self.owed,
            "effort": self.effort.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state. Raises BadInput where the task has other examples now."""
        wanted = [*state["fast_pool"], *(trace["example"] for trace in state["experience"])]
        examples = find_training(self.task, wanted)
        lost = next((name for name in wanted if name not in examples), None)
        if lost is not None:
            raise BadInput(f"the training data of task '{self.task.name}' has changed: example '{lost}' is gone.")
        self.population = Population.from_json(state["population"])
        self.cache = RolloutCache(_rollout_from_json(data) for data in state["cache"])
        self.experience = [_trace_from_json(data, examples) for data in state["experience"]]
        self.fast_pool = {name: examples[name] for name in state["fast_pool"]}
        self.unscored_steps = state["unscored_steps"]
        self.book.load_state_dict(state["book"])
        self.at_hand, self.owed = list(state["at_hand"]), dict(state["owed"])
        self.effort.load_state_dict(state["effort"])


def _rollout_to_json(rollout: Rollout) -> dict[str, Any]:
    # Not asdict, which copies tokens one by one: whoever saves this copies it anyway.
    return {**vars(rollout), "verdict": _verdict_to_json(rollout.verdict)}


def _rollout_from_json(data: Mapping[str, Any]) -> Rollout:
    values: dict[str, Any] = {**data, "verdict": Verdict(**data["verdict"])}
    return Rollout(**values)


def _trace_to_json(trace: Trace) -> dict[str, Any]:
    verdict = _verdict_to_json(trace.verdict)
    return {
        "example": trace.example.id, "context_id": trace.context_id, "completion": trace.completion, "verdict": verdict,
        "episode": trace.episode,
    }  # fmt: skip


def _trace_from_json(data: Mapping[str, Any], examples: Mapping[str, Example]) -> Trace:
    verdict, episode = Verdict(**data["verdict"]), data.get("episode", False)
    return Trace(examples[data["example"]], data["context_id"], data["completion"], verdict, episode)


def _verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    # `info` is for people and may hold anything; only reward and feedback are used.
    info = json.loads(json.dumps(clean(verdict.info), default=str))
    return {"reward": verdict.reward, "feedback": verdict.feedback, "info": info}
