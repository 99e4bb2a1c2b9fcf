"""What a model returns is read as it was meant: code blocks around a reply go, those inside it stay, and JSON that is
nearly JSON is JSON."""

from __future__ import annotations

import pytest

from fastslow.contexts.context import WorkedExample, load_examples
from fastslow.fast.proposers.reflection import Fence, _read_edit
from fastslow.fast.proposers.replies import loose_json, without_code_block

FENCE = Fence("0123abcd4567")

ONE_BLOCK = {
    "```\na\n```": "a",
    "```\na\n\nb\n```": "a\n\nb",
    "````\na\n````": "a",
    "``````markdown\na\n``````": "a",
    "~~~\na\n~~~": "a",
    "~~~ text of any kind\na\n~~~": "a",
    "```text\na\n```": "a",
    "``` json5 \na\n```": "a",
    "```c++\na\n```": "a",
    '```json title="x"\na\n```': "a",
    "```\na\n`````": "a",
    "   ```\na\n   ```": "a",
    "````\nUse:\n```\na\n```\n````": "Use:\n```\na\n```",
    "````\n```python\na\n````": "```python\na",
    "~~~\n```\na\n```\n~~~": "```\na\n```",
    "```markdown\nUse:\n```python\na\n```\nor\n```python\nb\n```\nDone.\n```": (
        "Use:\n```python\na\n```\nor\n```python\nb\n```\nDone."
    ),
    "```\nsee ```a``` here\n```": "see ```a``` here",
    "```markdown\na": "a",
    "```\n```": "",
}


@pytest.mark.parametrize("text", ONE_BLOCK)
def test_the_lines_around_a_reply_that_is_one_code_block_go(text: str) -> None:
    assert without_code_block(text) == ONE_BLOCK[text]


NOT_ONE_BLOCK = [
    "a",
    "",
    "```\na\n```\nthen\n```\nb\n```",
    "```python\na\n```\nthen\n```python\nb\n```",
    "````\na\n````\nthen\n```\nb\n```",
    "~~~\na\n~~~\nthen\n```\nb\n```",
    "```\na\n```\n```\nb\n```",
    "```\na\n```\nThen say why.",
    "Say why.\n```\na\n```",
    "`a`",
    "``` `a` ```",
    "``\na\n``",
    "    ```\n    a\n    ```",
]


@pytest.mark.parametrize("text", NOT_ONE_BLOCK)
def test_a_reply_that_is_anything_but_one_code_block_keeps_every_line(text: str) -> None:
    assert without_code_block(text) == text


PAIR = {"question": "q", "answer": "a"}
LOOSE = {
    '[{"question": "q", "answer": "a"}]': [PAIR],
    '[{"question": "q", "answer": "a",},]': [PAIR],
    '[{"question": "q", "answer": "a"}, // the first\n]': [PAIR],
    '[/* one */ {"question": "q", "answer": "a"} /* and only */]': [PAIR],
    '{"question": "q", "answer": "a"}\n{"question": "q", "answer": "a"}': [PAIR, PAIR],
    '{"question": "q", "answer": "a"},\n{"question": "q", "answer": "a"}': [PAIR, PAIR],
    "[{'question': 'q', 'answer': 'a'}]": [PAIR],
    "[{'question': 'it\\'s', 'answer': -2.50}]": [{"question": "it's", "answer": "-2.50"}],
    '[{"question": "q", "answer": 2}]': [{"question": "q", "answer": "2"}],
    '[{"question": "q", "answer": -0.50e3}]': [{"question": "q", "answer": "-0.50e3"}],
    '[{"question": "q", "answer": 123456789012345678901234567890}]': [
        {"question": "q", "answer": "123456789012345678901234567890"}
    ],
    '[{"question": "a\nb", "answer": "a"}]': [{"question": "a\nb", "answer": "a"}],
    r'[{"question": "\frac{1}{2} \\cdot \sqrt 2", "answer": "\u00e9\n"}]': [
        {"question": r"\frac{1}{2} \cdot \sqrt 2", "answer": "é\n"}
    ],
    '[{"question": "http://a/*b*/,]", "answer": "a"}]': [{"question": "http://a/*b*/,]", "answer": "a"}],
}


@pytest.mark.parametrize("text", LOOSE)
def test_json_that_is_nearly_json_is_read(text: str) -> None:
    assert loose_json(text) == LOOSE[text]


@pytest.mark.parametrize("text", ["", " ", "q", "[{]", "{question: q}", "[" * 100_000, "f('a')", "[1, x]", "\0"])
def test_whatever_else_is_no_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        loose_json(text)


def in_fence(text: str, before: str = "", after: str = "") -> str:
    return f"{before}\n{FENCE.edit}\n{text}\n{FENCE.done}\n{after}"


EXAMPLES = {
    "numbers": ('[{"question": "1 + 1", "answer": 2}]', ("1 + 1", "2")),
    "truth": ('[{"question": "Is 1 = 2?", "answer": false}]', ("Is 1 = 2?", "false")),
    "a block": ('```json\n[{"question": "q", "answer": "a"}]\n```', ("q", "a")),
    "five backticks and CRLF": ('`````json5\r\n[{"question": "q", "answer": "a"}]\r\n`````', ("q", "a")),
    "one object": ('{"question": "q", "answer": "a"}', ("q", "a")),
    "a list under a name": ('{"examples": [{"question": "q", "answer": "a"}]}', ("q", "a")),
    "words around": ('The list:\n```json\n[{"question": "q", "answer": "a"}]\n```\nas asked', ("q", "a")),
    "the other order": ('[{"answer": "a", "question": "q"}]', ("q", "a")),
}


@pytest.mark.parametrize("case", EXAMPLES)
def test_worked_examples_are_read_in_the_forms_that_models_write(case: str) -> None:
    text, pair = EXAMPLES[case]
    edited = _read_edit(in_fence(text), FENCE, "examples", "[]")
    assert load_examples(edited or "") == [WorkedExample(*pair)]


BLOCKS = "```\nin\n```\nbecomes\n```\nout\n```"
SPOKEN = {
    "plain": (in_fence("new"), "new"),
    "an instruction that begins and ends with a code block": (in_fence(BLOCKS), BLOCKS),
    "four backticks": (in_fence("````\nnew\n````"), "new"),
    "CRLF": (in_fence("```\nnew\nline\n```").replace("\n", "\r\n"), "new\nline"),
    "old line ends": (in_fence("new\nline").replace("\n", "\r"), "new\nline"),
    "the whole reply in a code block": (f"```\n{in_fence('new')}```", "new"),
    "bold lines": (f"**{FENCE.edit}**\nnew\n**{FENCE.done}**", "new"),
    "lines in code": (f"`{FENCE.edit}`\nnew\n`{FENCE.done}`", "new"),
    "quoted lines": (f"> {FENCE.edit}\nnew\n> {FENCE.done}", "new"),
    "another case and fewer brackets": ("<<edit 0123ABCD4567>>\nnew\n<< Done 0123abcd4567 >>", "new"),
    "a draft and then the edit": (in_fence("draft") + in_fence("new"), "new"),
    "a draft that was begun again": (f"{FENCE.edit}\ndraft" + in_fence("new"), "new"),
    "the lines spoken of afterwards": (
        in_fence("new", after=f"It stands between {FENCE.edit} and {FENCE.done} as asked."), "new"
    ),
    "an end that is spoken of afterwards": (in_fence("new", after=f"I wrote {FENCE.edit} once."), "new"),
    "a draft in the thoughts": (f"<think>{in_fence('draft')}</think>" + in_fence("new"), "new"),
    "a draft in the thoughts alone": (f"<think>{in_fence('draft')}</think>", None),
    "thoughts without a beginning": (f"{in_fence('draft')}</think>" + in_fence("new"), "new"),
    "a draft in thoughts without a beginning": (f"{in_fence('draft')}</think>Done.", None),
    "thoughts without an end": (f"<think>{in_fence('draft')}", None),
    "an instruction that speaks of tags": (
        in_fence("Think inside <think> and </think>."), "Think inside <think> and </think>."
    ),
    "an instruction that speaks of the closing tag": (in_fence("Write </think> first."), "Write </think> first."),
    "cut before its end": (f"{FENCE.edit}\nnew", None),
    "cut in the closing line": (f"{FENCE.edit}\nnew\n{FENCE.done[:-8]}", None),
    "a second edit that was cut": (in_fence("new") + f"{FENCE.edit}\nnewer", "new"),
    "blank": (in_fence("  \n"), None),
    "an empty block": (in_fence("```\n```"), None),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOKEN)
def test_the_edit_of_a_reply_is_the_last_one_that_is_whole_and_meant(case: str) -> None:
    reply, edit = SPOKEN[case]
    assert _read_edit(reply, FENCE, "instruction", "old") == edit


def test_a_code_block_that_is_the_whole_component_stays_one() -> None:
    block = "```\nnew\n```"
    assert _read_edit(in_fence(block), FENCE, "instruction", "```\nold\n```") == block
