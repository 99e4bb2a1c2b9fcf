"""Pairs for `json`: a value drawn, written twice, put between fences of every shape."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.tasks.scoring.corpus.base import Pair

F = "```"
FRAMES = (
    *(
        "%s",
        "\r\n%s\r\n",
        "It is this:\n%s",
        f"{F}json\n%s\n{F}",
        f"{F}\n%s\n{F}",
        f"{F}json %s {F}",
        f"{F}json5\n%s\n{F}",
    ),
    *(
        f"{F}JSON\n%s\n{F}",
        f"{F}jsonc\n%s\n{F}",
        "````json\n%s\n````",
        "~~~json\n%s\n~~~",
        "~~~~\n%s\n~~~~",
        f"{F}%s{F}",
    ),
    *(
        f"Here:\n{F}json\n%s\n{F}\nThat is all.",
        f"Here: {F}json\n%s{F}",
        f"  {F}json\n  %s\n  {F}",
        f"{F} json\n%s\n{F}",
    ),
    *(
        f"{F}json\r\n%s\r\n{F}\r\n",
        f"{F}json\n%s\n{F}\n\n{F}python\nprint(1)\n{F}",
        f"{F}json\n%s\n{F}\n{F}\nhello\n{F}",
    ),
    *(
        f"<think>{F}json\n[0]\n{F}</think>\n%s",
        f"<think>\n{F}\n[0]\n{F}\n</think>\n{F}json\n%s\n{F}",
        "<answer>%s</answer>",
    ),
    *(
        f"<answer>\n{F}json\n%s\n{F}\n</answer>",
        f"<answer>{F}json %s {F}</answer>",
        f"{F}json\n[0]\n{F}\nNo:\n{F}json\n%s\n{F}",
    ),
    *(
        f"> {F}json\n> %s\n> {F}",
        f"{F}python\nx = 1\n{F}\n{F}json\n%s\n{F}",
        f"%s\n\n{F}sh\nls\n{F}",
        "`%s`",
        "\ufeff%s",
    ),
    *(f"{F}json title=a\n%s\n{F}", f"{F}json\n%s", "<think>[0]</think>%s"),
)
# Around a list or an object; a text or a number among words is none of them by its form.
BRACKETED = (
    *(
        "The value is %s",
        "Answer: %s",
        "It is this: %s.",
        "So **%s**",
        "It is `%s`.",
        "Here it is:\n\n%s\n",
        r"\boxed{%s}",
    ),
    *(r"$\boxed{%s}$", r"So \boxed{\text{%s}}", "%s<|im_end|>", f"{F}json\n%s\n{F}<|eot_id|>", "The answer is %s</s>"),
)
LABELLED = (
    "Answer: %s",
    "**Answer:** %s",
    "Thought over.\nThe final answer is: %s",
    "Result: `%s`",
    "The answer is %s",
)
# The gold stands in the completion, and another value is the answer; `%o` is that value.
DRAFTS = (
    *(
        f"{F}json\n%s\n{F}\nNo:\n{F}json\n%o\n{F}",
        "<think>%s</think>%o",
        f"<think>{F}json\n%s\n{F}</think>\n%o",
        "%s\n%o",
    ),
    *(
        f"<think>{F}json\n%s\n{F}",
        f"%s\n{F}json\n%o\n{F}",
        "<answer>%s</answer><answer>%o</answer>",
        f"{F}%s{F} {F}%o{F}",
    ),
    *(
        f"~~~\n%s\n~~~\n{F}\n%o\n{F}",
        f"{F}\n%s\n{F}\n{F}\n[1,\n{F}",
        f"{F}json\n%s\n{F}\n{F}json\n{F}",
        "[%s]",
        '{"a": %s}',
    ),
    *(
        "It is not %s but %o",
        "It is either %s or %o",
        r"\boxed{%s} \boxed{%o}",
        "Answer: [%s]",
        "Answer: %s or %o",
        "%s is wrong",
    ),
    *(r"\boxed{%s,%o}", "Answer: %s\nAnswer: %o", "Answer: -%s.", r"\boxed{[%s]}", "It is not %s.", "If it is %s"),
)
WORDS = ("a", "b c", "é", "東京", "`", "```", "line\nbreak", '"', "\\", "1", "true", "</answer", "~~~", "")


def drawn(rng: random.Random, depth: int = 2) -> Any:
    kind = rng.randrange(9 if depth else 6)
    if kind == 0:
        return rng.randint(-(10**6), 10**20)
    if kind == 1:
        return round(rng.uniform(-1000, 1000), 4)
    if kind == 2:
        return rng.choice((True, False, None))
    if kind == 3:
        return rng.uniform(1, 9) * 10.0 ** rng.randint(-300, 300)
    if kind < 6:
        return rng.choice(WORDS)
    if kind == 6:
        return {rng.choice("abcde") + rng.choice(WORDS[:4]): drawn(rng, depth - 1) for _ in range(rng.randint(0, 4))}
    return [drawn(rng, depth - 1) for _ in range(rng.randint(0, 4))]


def written(rng: random.Random, value: Any, *, lines: bool = True) -> str:
    if isinstance(value, dict):
        items = list(value.items())
        rng.shuffle(items)
        value = dict(items)
    indent = rng.choice((None, None, 1, 2)) if lines else None
    separators = rng.choice((None, (",", ":")))
    return json.dumps(value, ensure_ascii=rng.random() < 0.5, indent=indent, separators=separators)


def right(rng: random.Random) -> Pair:
    value, frame = drawn(rng), rng.choice(FRAMES)
    if rng.random() < 0.25:
        frame = rng.choice(BRACKETED if isinstance(value, dict | list) else LABELLED)
    # A text in several lines can be told from the text around it by a fence or a tag only.
    alone = F not in frame and "~~~" not in frame and "<answer>" not in frame
    return Pair(
        written(rng, value),
        frame.replace("%s", written(rng, value, lines=not (alone or frame[0] == ">"))),
        True,
        repr(frame),
    )


def wrong(rng: random.Random) -> Pair:
    value = drawn(rng)
    other = changed(rng, value)
    if rng.random() < 0.3:
        frame = rng.choice(DRAFTS)
        text = frame.replace("%o", written(rng, other, lines=False)).replace("%s", written(rng, value, lines=False))
        return Pair(written(rng, value), text, False, f"a draft: {frame!r}")
    return Pair(written(rng, value), rng.choice(FRAMES).replace("%s", written(rng, other)), False, "another value")


def changed(rng: random.Random, value: Any) -> Any:
    """Return a value that is not this one, most often by a single member."""
    if isinstance(value, bool) or value is None:
        return {True: 1, False: 0, None: False}[value]
    if isinstance(value, int):
        return rng.choice((value + 1, -value if value else 1, value * 10 + 1, str(value)))
    if isinstance(value, float):
        return rng.choice((-value, value * 1.00001, value * 10, str(value), value / 2))
    if isinstance(value, str):
        return rng.choice((value + "x", [value], value + " ", None))
    if isinstance(value, list):
        if not value:
            return rng.choice(({}, [0], None, ""))
        at = rng.randrange(len(value))
        return rng.choice(([*value[:at], changed(rng, value[at]), *value[at + 1 :]], [*value, 0], value[:-1]))
    if not value:
        return rng.choice(([], {"a": 0}, None))
    key = rng.choice(list(value))
    rest = {k: v for k, v in value.items() if k != key}
    return rng.choice(
        (rest, {**rest, key: changed(rng, value[key])}, {**value, "z": 0}, {**rest, key + "_": value[key]})
    )
