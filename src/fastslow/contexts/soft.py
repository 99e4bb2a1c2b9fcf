"""Name the tokens of a soft context: rows beside the model's embedding, which no text of a user or a model can say.

The text `<|fs3_0|><|fs3_1|>` stands for two rows of birth 3. It is a name, in files and identities of contexts: no
tokenizer knows it, and where it is typed into a question it stays the characters that it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SOFT, SOFT_TURN = "soft", "soft_turn"
"""The components of soft contexts: rows in the place of an instruction, and rows at the beginning of the first turn. A
context has one of them and no other component with text."""

_TOKEN = re.compile(r"<\|fs(0|[1-9]\d{0,8})_(0|[1-9]\d{0,8})\|>")


@dataclass(frozen=True)
class SoftText:
    """Hold what the text of a soft component names: `tokens` rows of one birth, counted over the run."""

    birth: int
    tokens: int

    def __str__(self) -> str:
        return "".join(names_of(self))

    @classmethod
    def parse(cls, text: str) -> SoftText:
        """Read the text of a soft component. Raises ValueError for any other text."""
        names = _TOKEN.findall(text)
        made = cls(int(names[0][0]), len(names)) if names else None
        if made is None or str(made) != text:
            raise ValueError("a soft component must name the rows of one birth in order, such as <|fs0_0|><|fs0_1|>")
        return made


def names_of(soft: SoftText) -> list[str]:
    """Return the name of each row of a birth."""
    return [f"<|fs{soft.birth}_{i}|>" for i in range(soft.tokens)]
