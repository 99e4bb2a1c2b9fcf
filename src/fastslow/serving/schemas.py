"""Schemas and grammars of a request: servers resolve what these refer to, so that may be their own parts only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fastslow.files import jsonl
from fastslow.serving.errors import Refused

REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")

DIALECT = re.compile(r"https?://json-schema\.org/(draft-0[3-7]|draft/20(19-09|20-12))/(hyper-)?schema#?")
"""What `$schema` may name: libraries have these themselves, and fetch any other one."""

GRAMMARS = ("guided_grammar", "grammar", "ebnf")
IMPORT = re.compile(r"%import(?!\s+common\.)")
"""What a grammar of Lark reads from a file, but for the one that Lark has itself."""


def check_schemas(fields: Mapping[str, Any]) -> None:
    """Raise Refused, naming the field, for a schema or grammar that leads out of itself, or is named and not given.

    JSON inside of texts is looked at too: servers take schemas in that form.
    """
    for name, schema in _in_texts(fields):
        if not isinstance(_parsed(schema), dict):
            raise Refused(f"'{name}' must be a schema as a JSON object, not the name of one", field=name)
    waiting: list[Any] = [fields]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            one = _parsed(one)
        if isinstance(one, Mapping):
            _check(one)
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _in_texts(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the schemas that are given as texts, by the place where vLLM, SGLang, TGI or llama.cpp look for one."""
    inside = {
        "structured_outputs": ("json",),
        "guided_decoding": ("json",),
        "response_format": ("schema", "json_schema", "value"),
        "json_schema": ("schema",),
    }
    waiting: list[tuple[str, Any]] = [(name, fields.get(name)) for name in ("guided_json", *inside)]
    while waiting:
        name, value = waiting.pop()
        place = name.rpartition(".")[2]
        if isinstance(value, Mapping):
            waiting += [(f"{name}.{key}", value.get(key)) for key in inside.get(place, ())]
        elif isinstance(value, str):
            yield name, value


def _parsed(text: str) -> Any:
    """Return the JSON of a text, or None where there is none. Raises Refused for what parsers may read differently."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return jsonl.loads(text)
    except (jsonl.RepeatedKey, RecursionError):
        raise Refused("JSON in a text must have each key once, and not be nested without end") from None
    except ValueError:
        return None


def _check(schema: Mapping[str, Any]) -> None:
    for name in REFERENCES:
        if isinstance(schema.get(name), str) and not schema[name].startswith("#"):
            raise Refused(f"a schema may refer to its own parts only ('{name}': '#/...')", field=name)
    if isinstance(schema.get("$schema"), str) and not DIALECT.fullmatch(schema["$schema"]):
        raise Refused("'$schema' may name a draft of json-schema.org only", field="$schema")
    for name in GRAMMARS:
        if isinstance(schema.get(name), str) and IMPORT.search(schema[name]):
            raise Refused(f"'{name}' may import from 'common' only", field=name)
