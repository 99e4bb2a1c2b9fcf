"""Read a recipe with its texts as they are written: what a word means, the setting that it is given to decides.

YAML 1.1 has a reading of its own for many words: `off`, `no` and `yes` are truth values, `2026-01-01` is a date, `010`
is eight and `1e-5` is text. Here every single value stays text, and `reading` gives it the type of its setting.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from fastslow.core.errors import BadInput


class Word(str):
    """A single value of a recipe, as it is written.

    `meant` is what YAML takes it for: for places whose type is not known, as in the mappings of a library. `null` tells
    the word for nothing from a text that is spelled like it.
    """

    meant: Any
    null: bool

    @classmethod
    def of(cls, text: str, meant: Any) -> Word:
        word = cls(text)
        word.meant, word.null = meant, meant is None
        return word


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse a key that stands twice: the first value would be dropped in silence."""
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for i, key in enumerate(keys) if key.value in {k.value for k in keys[:i]}), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"'{twice.value}' stands there twice", twice.start_mark)
        return super().construct_mapping(node, deep)

    def construct_word(self, node: yaml.ScalarNode) -> Word:
        text, meant = str(node.value), SPOKEN.get(node.tag)
        if node.style is not None or meant is None:  # quoted, or a date
            return Word.of(text, _number(text) if node.style is None else text)
        try:
            return Word.of(text, meant(self, node))
        except (ValueError, OverflowError):  # a number of thousands of digits
            return Word.of(text, text)


SPOKEN = {
    f"tag:yaml.org,2002:{kind}": getattr(yaml.SafeLoader, f"construct_yaml_{kind}")
    for kind in ("null", "bool", "int", "float")
}
for _kind in ("null", "bool", "int", "float", "timestamp", "str", "value"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_word)


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Return name -> `Word`, list or mapping. Raises BadInput for a file that cannot be read, with the line."""
    return parse_words(read_bytes(path, "recipe"), f"recipe '{path}'")


def read_bytes(path: str | Path, what: str) -> bytes:
    """Return the content of a file that people write. Raises BadInput, which calls the file `what`."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadInput(f"{what} '{path}' cannot be read: {error.strerror}.") from error


def parse_words(content: bytes, what: str) -> dict[str, Any]:
    """Return what YAML holds, as `read_recipe` does. Raises BadInput with the line; `what` names the source."""
    try:
        words = yaml.load(content.decode("utf-8-sig"), _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # not UTF-8, or nested without an end
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or str(error).strip().splitlines()[0]
        raise BadInput(f"{what}{line} is not YAML: {problem}.") from error
    if not isinstance(words, dict):
        raise BadInput(f"{what} must hold 'setting: value' lines.")
    return {str(name): value for name, value in words.items()}


def _number(text: str) -> Any:
    """Return the number that a word like `1e-5` is, which YAML 1.1 takes for text; else the text."""
    try:
        return float(text) if text[:1] in "+-.0123456789" and "e" in text.lower() else text
    except ValueError:
        return text
