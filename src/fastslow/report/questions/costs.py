"""What a run cost, by phase: seconds, tokens, money. An unknown cost is 'unknown', and never 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastslow.report.reading.data import RunData
from fastslow.report.reading.values import mapping, number

PHASES = ("rollout", "update", "fast", "eval")
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Cost:
    """The cost of one run. `seconds` is keyed by PHASES; None where the files of the run do not say."""

    seconds: dict[str, float | None]
    total_seconds: float | None
    slow_tokens: float | None
    fast_tokens: float | None
    reused: float | None
    reflection_calls: float | None
    reflection_tokens: float | None
    money: str


def cost_of(run: RunData) -> Cost:
    """Read the cost from the summary, else from the lines of metrics so far."""
    wall, reflection = mapping(run.summary.get("wall_s")), mapping(run.summary.get("reflection"))
    latest = run.metrics[-1].spent if run.metrics else {}
    tokens, rollouts = run.counts("tokens"), run.counts("rollouts")
    fast = [row for row in run.metrics if row.phase == "fast"]
    calls = number(reflection.get("calls"))
    if calls is None and (fast or not run.channels.fast):
        calls = sum(row.numbers.get("fst/fast/lm_calls", 0.0) for row in fast)
    return Cost(
        seconds={name: number(wall.get(name)) for name in PHASES},
        total_seconds=number(wall.get("total")) or latest.get("seconds"),
        slow_tokens=tokens.slow,
        fast_tokens=tokens.fast,
        reused=rollouts.reused,
        reflection_calls=calls,
        reflection_tokens=_reflection_tokens(reflection, latest.get("reflection")),
        money=_money(calls, reflection.get("cost_usd")),
    )


def _reflection_tokens(reflection: Any, counted: float | None) -> float | None:
    counts = [number(reflection.get(f"{kind}_tokens")) for kind in ("prompt", "completion")]
    known = [value for value in counts if value is not None]
    return sum(known) if len(known) == len(counts) else counted


def _money(calls: float | None, cost: Any) -> str:
    paid = number(cost)
    if calls == 0 and not paid:
        return "none asked"
    return UNKNOWN if paid is None else f"${paid:,.2f}"
