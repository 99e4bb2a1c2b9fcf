r"""Commands that JSON read as escapes are found, and ordinary texts are left alone."""

from __future__ import annotations

import json

import pytest

from fastslow.tasks.damage import eaten_command, possible_command, strange_character

# Commands as people write them, whose first letter makes an escape of JSON or of Python.
COMMANDS = r"""
\frac{1}{2} \forall x \bar{x} \beta+1 \binom{5}{2} \boxed{4} \bigcup_i \bmod 7 \begin{pmatrix} \theta \times 3
\tilde{x} \tfrac{1}{2} \tbinom{3}{1} \text{cm} \textbf{a} \therefore a \nabla f \neq 0 \notin A \nleq b \rho \right)
\rightarrow b \rceil \rbrace
"""
PYTHON_ONLY = r"\alpha \angle ABC \approx 3 \arctan x \vec{v} \varphi \vdots \vee b"


def read_by_python(text: str) -> str:
    return text.replace("\\a", "\a").replace("\\v", "\v")


def commands(listed: str) -> list[str]:
    parts = ["\\" + part.strip() for part in listed.split("\\")[1:]]
    return [part for part in parts if part != "\\"]


@pytest.mark.parametrize("command", commands(COMMANDS))
def test_a_command_that_json_read_as_an_escape_is_found_in_an_answer(command: str) -> None:
    read = json.loads(f'"{command}"')
    assert read != command, "JSON leaves this command alone"
    for text in (read, f"3{read}", f"x = {read}"):
        found = eaten_command(text, gold=True)
        assert found is not None, repr(text)
        assert command.startswith(found.command)


@pytest.mark.parametrize("command", commands(PYTHON_ONLY))
def test_a_command_that_python_read_as_an_escape_is_found_anywhere(command: str) -> None:
    assert eaten_command(f"Find {read_by_python(command)}.") is not None


@pytest.mark.parametrize("command", [c for c in commands(COMMANDS) if not c.startswith("\\neq")])
def test_it_is_found_in_a_question_too(command: str) -> None:
    assert eaten_command("Find $" + json.loads(f'"{command}"') + "$.") is not None


@pytest.mark.parametrize(
    "text",
    [
        r"\frac{1}{7}",
        "plain",
        "two\nlines",
        "two\r\nlines, and\r\nabla",
        "low\nmid\nhigh",
        "a\tan\tb",
        "def f():\n\tfrac = 1\n\treturn frac\n",
        "such that\nexists x",
        "i) a\nii) b\niii) c",
        "\teach\n\tother",
        "page one\fPage two",
        "N\bNA\bAM\bME\bE",
        "\x1b[31mred\x1b[0m",
        "\x1b]0;title\x07$ ls",
        "\u6f22\u5b57\n\u0416",
    ],
)
def test_an_ordinary_text_is_not_taken_for_a_lost_command(text: str) -> None:
    assert eaten_command(text) is None


@pytest.mark.parametrize("command", [r"\tan(x)", r"\to b", r"\nu", r"\ne 3", r"\not= 2", r"\rangle"])
def test_what_may_be_a_word_is_a_doubt_in_an_answer(command: str) -> None:
    text = json.loads(f'"a{command}"')
    assert eaten_command(text, gold=True) is None
    assert possible_command(text, gold=True) is not None


def test_a_possible_command_in_a_question_needs_a_sign_that_commands_take() -> None:
    assert possible_command("Let\nu_1 be a vector") is not None
    assert possible_command("first\nu second\ni third") is None
    assert possible_command("where x\neq 0") is not None, "no word begins a line like this"


@pytest.mark.parametrize(
    ("text", "found"),
    [("a\x00b", "U+0000"), ("\x1b[1m", "U+001B"), ("caf\ufffd", "U+FFFD"), ("\x92", "U+0092"), ("a\n\tb\r\n", None)],
)
def test_a_character_that_nobody_types_is_named(text: str, found: str | None) -> None:
    assert strange_character(text) == found
