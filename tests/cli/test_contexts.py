"""`fastslow contexts`: the list, one context, and what differs between two."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastslow.cli.main import main
from fastslow.contexts.context import Context
from fastslow.contexts.population import Population
from fastslow.contexts.rendering import render
from fastslow.core.types import Example
from tests.support.shipped import CONTEXTS, a_context, make_bundle, promoted
from tests.support.templates import GEMMA

LEAD, SECOND, THIRD, EMPTY = CONTEXTS
OLD = a_context("Once accepted.")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What a run leaves behind, as far as its contexts are concerned."""
    (tmp_path / "bundle").mkdir()
    population = Population(
        3, EMPTY, [LEAD, SECOND], {c.id: c for c in (EMPTY, LEAD, SECOND, OLD)},
        {LEAD.id: {"a": 1.0, "b": 0.5}, SECOND.id: {"a": 0.0, "b": 0.5}, OLD.id: {"a": 1.0}},
    )  # fmt: skip
    (tmp_path / "bundle/population.json").write_text(json.dumps(population.to_json()))
    (tmp_path / "standings.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in (standing(0.1), standing(0.62)))
    )
    return tmp_path


def standing(level: float) -> dict[str, Any]:
    row = {"context_id": LEAD.id, "level": level, "low": 0.54, "high": 0.7, "slope": 0.0, "rollouts": 211.4}
    return {"step": 2, "standings": [row]}


def listed(path: Path, capsys: Any) -> dict[str, dict[str, Any]]:
    assert main(["contexts", str(path), "--json"]) == 0
    return {row["id"]: row for row in json.loads(capsys.readouterr().out)}


@pytest.mark.parametrize("given", [".", "bundle"])
def test_the_list_says_of_each_context_what_the_files_of_the_run_say(run: Path, capsys: Any, given: str) -> None:
    rows = listed(run / given, capsys)
    assert [(c, row["roles"]) for c, row in rows.items()] == [
        (LEAD.id, ["lead"]), (SECOND.id, ["member"]), (EMPTY.id, ["seed"]), (OLD.id, ["known"]),
    ]  # fmt: skip
    lead, second, old = rows[LEAD.id], rows[SECOND.id], rows[OLD.id]
    assert (lead["level"], lead["low"], lead["high"], lead["rollouts"]) == (0.62, 0.54, 0.7, 211.4), "the last phase"
    assert (lead["anchor"], second["anchor"], second["level"]) == (0.75, 0.25, None)
    assert old["anchor"] is None, "older weights earned it"
    assert lead["characters"] == len("Answer with the number alone.What is 1 + 2?3What is 5 + 5?10")
    assert (lead["examples"], rows[EMPTY.id]["characters"]) == (2, 0)


def test_the_summary_has_the_last_word_on_standings(run: Path, capsys: Any) -> None:
    (run / "summary.json").write_text(json.dumps(standing(0.7)))
    assert listed(run, capsys)[LEAD.id]["level"] == 0.7
    (run / "summary.json").write_text("{damaged")
    assert listed(run, capsys)[LEAD.id]["level"] == 0.62


def test_the_list_for_people_loads_neither_torch_nor_weights(run: Path) -> None:
    code = (
        "import sys; from fastslow.cli.main import main; "
        f"main(['contexts', {str(run)!r}]); main(['contexts', {str(run)!r}, '--show']); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"}
    )
    assert done.returncode == 0, f"torch was imported to read two files, or {done.stderr}"
    assert "62.0%" in done.stdout
    assert "54.0% to 70.0%" in done.stdout
    assert "Question: What is 5 + 5?\nAnswer: 10\n\nQuestion: {question}\nAnswer:\n" in done.stdout


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            SECOND.id[:5],
            "Spell slowly.\n\nQuestion: Spell 'ab' backwards.\nAnswer: ba\n\nQuestion: {question}\nAnswer:\n",
        ),
        (OLD.id, "Once accepted.\n\n{question}\n"),
        ("seed", "{question}\n"),
    ],
)
def test_a_context_is_shown_by_any_name_that_means_it(run: Path, capsys: Any, name: str, text: str) -> None:
    assert main(["contexts", str(run), "--show", name]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("template", [None, GEMMA])
def test_messages_are_those_of_the_run_also_without_a_system_role(
    tmp_path: Path, capsys: Any, template: str | None
) -> None:
    bundle = make_bundle(tmp_path, template=template)
    capsys.readouterr()
    question = Example("e", "t", "test", ({"role": "user", "content": "{question}"},))
    for context in CONTEXTS:
        assert main(["contexts", str(bundle), "--show", context.id, "--format", "messages"]) == 0
        assert json.loads(capsys.readouterr().out) == render(context, question, system_role=template is None)


def test_a_version_of_a_registry_is_named_as_everywhere(tmp_path: Path, capsys: Any) -> None:
    champion = promoted(tmp_path / "registry", make_bundle(tmp_path), "lead")
    capsys.readouterr()
    assert main(["contexts", champion, "--show"]) == 0
    assert capsys.readouterr().out.startswith("Answer with the number alone.\n")


def test_a_difference_is_that_of_the_texts(run: Path, capsys: Any) -> None:
    assert main(["contexts", str(run), "--diff", "seed", OLD.id[:6]]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown == [f"--- {EMPTY.id}", f"+++ {OLD.id}", "@@ -1 +1,3 @@", "+Once accepted.", "+", " {question}"]
    assert main(["contexts", str(run), "--diff", "seed", "seed"]) == 0
    assert capsys.readouterr().out == f"seed and seed are the same context, {EMPTY.id}\n"


def test_a_terminal_does_not_obey_a_context_and_a_pipe_gets_it_whole(
    run: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = a_context("\x1b[2Jgone\x9b1m")
    (run / "bundle/population.json").write_text(json.dumps(Population(1, hostile).to_json()))
    assert main(["contexts", str(run), "--show"]) == 0
    assert "\x1b[2Jgone\x9b1m" in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["contexts", str(run), "--show"]) == 0
    assert capsys.readouterr().out == "\ufffd[2Jgone\ufffd1m\n\n{question}\n"


ODD: list[tuple[str, Any]] = [("damaged", {"instruction": 3}), ("odd", {"examples": "{}"})]


def several(start: str) -> list[Context]:
    found = (a_context(f"Instruction {number}") for number in range(10_000))
    return [c for c in found if c.id.startswith(start)][:2]


BAD = {
    "no such folder": (["nowhere"], "is not a directory"),
    "no population": (["empty"], "has no population (no population.json)"),
    "a run that goes on": (["going"], "has no population yet"),
    "unknown id": (["run", "--show", f"{LEAD.id[:9]}zz"], f"Did you mean '{LEAD.id}'?"),
    "empty id": (["run", "--show", ""], "there is no context ''"),
    "ambiguous beginning": (["run", "--diff", "lead", "a"], "'a' is the beginning of 3 contexts' ids: a"),
    "format of a list": (["run", "--json", "--format", "text"], "--format says how --show prints"),
    "two at once": (["run", "--json", "--show"], "not allowed with"),
    "component that is no text": (["damaged"], "is damaged (ValueError: a component must be text)"),
    "worked examples that are none": (["odd"], "the examples component must be a JSON array"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_shown_is_one_line_and_exit_2(
    run: Path, tmp_path: Path, monkeypatch: Any, capsys: Any, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "going"):
        (tmp_path / folder).mkdir()
    (tmp_path / "going/config.yaml").write_text("mode: fst\n")
    contexts = [LEAD, *several("a")]
    whole = Population(3, LEAD, contexts, {c.id: c for c in contexts}).to_json()
    shutil.copytree(run / "bundle", tmp_path / "run")
    for folder, components in [("run", None), *ODD]:
        (tmp_path / folder).mkdir(exist_ok=True)
        data = json.loads(json.dumps(whole))
        if components is not None:
            odd = Context(components)
            data |= {"archive": [{**LEAD.to_json(), "components": components}], "seed": odd.id, "members": [odd.id]}
        (tmp_path / folder / "population.json").write_text(json.dumps(data))
    argv, expected = BAD[name]
    assert main(["contexts", *argv]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert expected in said.err
