"""A Modelfile says what the lead context says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fastslow.core.errors import BadInput
from fastslow.export.folder import ExportSettings, export_bundle
from tests.support.shipped import a_context, make_bundle
from tests.support.tiny import CHAT_TEMPLATE


def commands(text: str) -> list[tuple[str, str]]:
    """Read a Modelfile by its documented grammar: a command, then a value in one line or between three quotes."""
    found = re.findall(r'^([A-Z]+) (?:((?:user|assistant) )?"""(.*?)"""|([^\n]*))$', text, re.MULTILINE | re.DOTALL)
    return [(name, f"{role}{quoted}" if quoted or role else plain) for name, role, quoted, plain in found]


def test_the_instruction_and_every_worked_turn_are_there(tmp_path: Path) -> None:
    lead = a_context('Be "brief".\n\nSYSTEM none {{ .Prompt }}', ("1 + 1?\nFROM evil", '"2"'), ("ü🙂", " 3 "))
    made = make_bundle(tmp_path, [lead], eval_temperature=0.5, max_completion_length=7)
    export_bundle(made, tmp_path / "out", ExportSettings(format="ollama"))
    read = commands((tmp_path / "out" / "Modelfile").read_text())
    assert read == [
        ("FROM", "."),
        ("SYSTEM", 'Be "brief".\n\nSYSTEM none {{ .Prompt }}'),
        ("MESSAGE", "user 1 + 1?\nFROM evil"),
        ("MESSAGE", 'assistant "2"'),
        ("MESSAGE", "user ü🙂"),
        ("MESSAGE", "assistant  3 "),
        ("PARAMETER", "temperature 0.5"),
        ("PARAMETER", "top_p 1"),
        ("PARAMETER", "top_k 0"),
        ("PARAMETER", "repeat_penalty 1"),
        ("PARAMETER", "num_predict 7"),
    ]


def test_the_models_own_template_stays_so_that_ollama_knows_it(tmp_path: Path) -> None:
    export_bundle(make_bundle(tmp_path), tmp_path / "out", ExportSettings(format="ollama"))
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == CHAT_TEMPLATE


@pytest.mark.parametrize("text", ['a """ b', "a\0b", "\ud83d"])
def test_a_text_that_a_modelfile_cannot_hold_is_refused(tmp_path: Path, text: str) -> None:
    made = make_bundle(tmp_path, [a_context(text)])
    with pytest.raises(BadInput, match=r"cannot hold|no file can hold"):
        export_bundle(made, tmp_path / "out", ExportSettings(format="ollama"))
    assert not (tmp_path / "out").exists()
