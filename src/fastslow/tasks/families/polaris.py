r"""Make the paper's mathematics task: Polaris, problems whose answer stands in a box.

    polaris                 the data set of the hub
    polaris?path=FILE       a download of it: rows with `problem` and `answer`, others are kept and not used
    polaris?path=sample     problems of our own, far easier, for machines without a network

The scorer is `boxed`, which is math-verify behind a screen.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastslow.tasks.base import TASKS
from fastslow.tasks.damage import eaten_command
from fastslow.tasks.families import sources
from fastslow.tasks.families.reader import answer_text
from fastslow.tasks.families.rows import Columns, Row, RowsTask
from fastslow.tasks.samples import polaris as polaris_sample
from fastslow.tasks.scoring import SCORERS, Scorer
from fastslow.tasks.spec import format_spec

FAMILY = "polaris"
HUB = "POLARIS-Project/Polaris-Dataset-53K"
INSTRUCTION = "Put the final answer inside \\boxed{}."
PARAMETERS = ("path", "config")


@TASKS.register(FAMILY)
def from_spec(rest: str, params: Mapping[str, str], *, data_seed: int = 0, **sizes: int) -> RowsTask:
    """Make the task of `polaris?params`. A data set is not drawn, so `data_seed` has no effect."""
    sources.check_params(params, PARAMETERS, rest, FAMILY)
    name, scorer = format_spec(FAMILY, params), SCORERS.factory("boxed")()
    public = sources.load_public(
        name, params, hub=HUB, split="train", columns=("problem", "answer"), sample=polaris_sample.rows
    )
    rows = sources.keep(public, name, lambda row: _row(row, scorer))
    return RowsTask(name, FAMILY, rows, columns=Columns(id="", split=""), scorer=scorer, **sizes)


def describe() -> list[tuple[str, str]]:
    """Return name and one-line description."""
    return [(FAMILY, f"Mathematics with boxed answers: {HUB}, ?path=FILE, or ?path=sample offline")]


def _row(row: Row, scorer: Scorer) -> Row | str:
    problem, answer = row["problem"], row["answer"]
    if not isinstance(problem, str) or not problem.strip():
        return "without a problem"
    gold = "" if isinstance(answer, bool) else answer_text(answer) or ""
    if eaten_command(problem) or eaten_command(gold, gold=True):
        return "with a control character where a command was meant"
    objection = scorer.objection(gold)
    if objection:
        return f"whose answer {objection}"
    return {"question": f"{problem.strip()}\n\n{INSTRUCTION}", "answer": gold, "difficulty": row.get("difficulty")}
