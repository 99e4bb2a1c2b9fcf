"""Propose rules for the instruction, compiled from what feedback keeps saying, without a language model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from fastslow.contexts.context import INSTRUCTION
from fastslow.core.texts import folded
from fastslow.core.types import Trace
from fastslow.fast.proposers.base import Edits, ProposalRequest, readable
from fastslow.fast.proposers.forms import form_kinds
from fastslow.fast.proposers.kinds import Kind, Known, kinds_of, says_what_to_do

HEADER = "Keep to these rules:"
BULLET = "- "

MAX_RULES = 5
"""Most compiled rules in one instruction; each is at most some 130 characters."""

EDIT_WEIGHTS = {"add": 4.0, "replace": 4.0, "drop": 1.0, "reorder": 1.0}
"""Weights of the edits, as for worked examples: only the first two bring in anything new."""

MAX_FIRST = 3
"""Most rules that an instruction without any gets at once: one rarely changes a small model, and an edit that changes
nothing is never accepted."""

BROKEN_WEIGHT = 4.0
"""Weight, in the draw of what goes, of a rule that the parent's own rollouts break although it stands there."""


@dataclass(frozen=True)
class Rule:
    line: str
    weight: float


@dataclass(frozen=True)
class Instruction:
    """Hold an instruction in two parts: what someone else wrote, which is kept, and the compiled rules below it."""

    written: str
    rules: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Instruction:
        """Read an instruction. Rules count as compiled only below our header and up to the end of the text: a list that
        someone else wrote, or has edited since, is theirs."""
        written, header, below = text.rpartition(HEADER)
        lines = below.removeprefix("\n").split("\n")
        ours = header and below.startswith("\n") and all(line.startswith(BULLET) for line in lines)
        if not ours or not (written == "" or written.endswith("\n\n")):
            return cls(text, ())
        return cls(written.removesuffix("\n\n"), tuple(line.removeprefix(BULLET) for line in lines))

    def text(self) -> str:
        if not self.rules:
            return self.written
        below = "\n".join([HEADER, *(BULLET + rule for rule in self.rules)])
        return f"{self.written}\n\n{below}" if self.written.strip() else below


class InstructionsProposer:
    """Add, replace, drop or reorder one compiled rule of the instruction, whatever component was asked for (an
    instruction without rules may get up to three); with `edits="full"` compile all of them anew.

    Rules come from the feedback on this minibatch and on the slow channel's rollouts: clauses that several examples
    share and that belong to none of them (`kinds`), and forms that right answers have and these lack (`forms`). They
    are drawn by the reward that is lost with them. Held-out examples and unscored rollouts are not read. The feedback
    is read as English; in another language each clause is quoted as a mistake to avoid.
    """

    name = "instructions"

    def __init__(self, edits: Edits = "small"):
        self.edits: Edits = edits

    def propose(self, request: ProposalRequest) -> dict[str, str]:
        """Return the edited `instruction` component; {} where no feedback is general or no edit would change it."""
        if INSTRUCTION not in request.parent.components:
            return {}
        current = Instruction.parse(request.parent.components[INSTRUCTION])
        rules = compiled(request)
        if self.edits == "full":
            lines = [rule.line for rule in rules if folded(rule.line) not in folded(current.written)]
            edited = lines[:MAX_RULES] or list(current.rules)
        else:
            edited = self._edit(current, rules, request)
        changed = edited != list(current.rules)
        return {INSTRUCTION: Instruction(current.written, tuple(edited)).text()} if changed else {}

    def _edit(self, current: Instruction, rules: Sequence[Rule], request: ProposalRequest) -> list[str]:
        stated = folded(current.text())
        fresh = [rule for rule in rules if folded(rule.line) not in stated]
        lines = list(current.rules)
        possible = {
            "add": bool(fresh) and len(lines) < MAX_RULES,
            "replace": bool(fresh) and bool(lines),
            "drop": len(lines) > 1,
            "reorder": len(lines) > 1,
        }
        edits = [edit for edit, applies in possible.items() if applies]
        if not edits:
            return lines
        edit = request.rng.choices(edits, [EDIT_WEIGHTS[edit] for edit in edits])[0]
        if edit == "reorder":
            i, j = request.rng.sample(range(len(lines)), 2)
            lines[i], lines[j] = lines[j], lines[i]
        if edit in ("replace", "drop"):
            place = _least_kept(lines, request)
            lines[place : place + 1] = _drawn(fresh, 1, request.rng) if edit == "replace" else []
        if edit == "add":
            first = min(MAX_FIRST, len(fresh))
            lines += _drawn(fresh, 1 if lines else request.rng.randint(1, first), request.rng)
        return lines


def compiled(request: ProposalRequest) -> list[Rule]:
    """Return the rules that the traces and the experience of a request support, that with most lost reward first."""
    traces = [trace for trace in (*request.traces, *request.experience) if readable(trace)]
    known = Known(traces, request.demonstrations)
    right = [worked.answer for worked in request.demonstrations]
    right += [trace.completion for trace in traces if trace.verdict.reward == 1.0 and not trace.episode]
    answers = [trace for trace in traces if not trace.episode]
    forms = [kind for kind in form_kinds(answers, right, known.answers) if not known.discloses(kind.said)]
    rewards = [trace.verdict.reward or 0.0 for trace in traces]
    lost = len(rewards) - sum(rewards)
    weighed = [Rule(worded(kind), kind.weight(lost, rewards.count(1.0))) for kind in (*kinds_of(traces, known), *forms)]
    heaviest = sorted((rule for rule in weighed if rule.weight > 0), key=lambda rule: -rule.weight)
    distinct: dict[str, Rule] = {}
    for rule in heaviest:
        distinct.setdefault(folded(rule.line), rule)
    return list(distinct.values())


def worded(kind: Kind) -> str:
    """Return the line of a kind: the clause itself where it says what to do, else the mistake that it names."""
    said = kind.said
    if says_what_to_do(said):
        return f"{said[0].upper()}{said[1:]}{'' if said.endswith('.') else '.'}"
    lower = said[:1].lower() + said[1:] if said[1:2].islower() else said
    return f"Avoid this mistake: {lower}."


def _drawn(fresh: Sequence[Rule], number: int, rng: random.Random) -> list[str]:
    """Draw rules by weight, without replacement."""
    left, drawn = list(fresh), []
    for _ in range(number):
        place = rng.choices(range(len(left)), [rule.weight for rule in left])[0]
        drawn.append(left.pop(place).line)
    return drawn


def _least_kept(lines: Sequence[str], request: ProposalRequest) -> int:
    """Draw the place of the rule that goes: rather one that the parent's own rollouts break, rule or no rule."""
    own: list[Trace] = [trace for trace in request.traces if trace.context_id == request.parent.id]
    broken = {rule.line for rule in compiled(_only(request, own))}
    weights = [BROKEN_WEIGHT if line in broken else 1.0 for line in lines]
    return request.rng.choices(range(len(lines)), weights)[0]


def _only(request: ProposalRequest, traces: Sequence[Trace]) -> ProposalRequest:
    return ProposalRequest(request.parent, request.component, traces, (), request.demonstrations)
