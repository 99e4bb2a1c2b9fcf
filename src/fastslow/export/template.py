"""Put contexts before a model's own chat template, so that any server that reads the template applies them.

The header does in Jinja what `contexts.rendering.render_chat` does in Python, and then hands the messages to the
model's template. A request picks a context by the template's argument `fastslow_context`: an id, `lead` (the default),
or `none` for a client that has put a context before the question itself.

Whether a worked example is the question itself is compared by case and spaces alone: Jinja knows no Unicode forms. The
proxy of `serving`, which rewrites messages in Python, compares as training does.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from fastslow.contexts.context import EXAMPLES, INSTRUCTION, Context
from fastslow.contexts.rendering import SYSTEM_ROLES
from fastslow.contexts.soft import SOFT, SOFT_TURN
from fastslow.core.errors import BadInput, quoted
from fastslow.core.texts import folded
from fastslow.policy.chat import SPEAKERS, Chat, merged
from fastslow.policy.settings import moment_of

ARGUMENT = "fastslow_context"
LEAD, NONE = "lead", "none"

ARGUMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
TEMPLATE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
CLOCK = re.compile(r"strftime_now\(\s*(?:'([^'\\]*)'|\"([^\"\\]*)\")\s*\)")

HEADER = """\
{%- set fastslow_contexts = <CONTEXTS> %}
<DEFAULTS>
{%- if fastslow_context is not defined or not fastslow_context %}
{%- set fastslow_context = <DEFAULT> %}
{%- elif fastslow_context == "lead" %}
{%- set fastslow_context = <LEAD> %}
{%- endif %}
{%- set fastslow = namespace(given=[], question=[], asking=true, turns=[], joined=[], meet=false) %}
{%- for turn in messages %}
{%- if turn['content'] is defined and turn['content'] is sequence and turn['content'] is not string %}
{%- if turn['content'] is mapping or turn['content'] | rejectattr('type', 'equalto', 'text') | list %}
{{- raise_exception("a message has a part that is no text; the model reads text only") }}
{%- endif %}
{%- set turn = dict(turn, content=turn['content'] | map(attribute='text') | join('\\n')) %}
{%- endif %}
{%- set fastslow.given = fastslow.given + [turn] %}
{%- endfor %}
{%- set fastslow.turns = fastslow.given %}
{%- if fastslow_context != "none" %}
{%- if fastslow_context not in fastslow_contexts %}
{{- raise_exception("fastslow_context names no context of this model; see contexts.json") }}
{%- endif %}
{%- set fastslow.turns = [] %}
{%- set fastslow_instruction = fastslow_contexts[fastslow_context][0] %}
{%- set fastslow_system = fastslow.given | length > 0 and fastslow.given[0]['role'] in <SYSTEM_ROLES> %}
{%- for turn in (fastslow.given[1:] if fastslow_system else fastslow.given) %}
{%- set fastslow.asking = fastslow.asking and turn['role'] == 'user' %}
{%- if fastslow.asking and turn['content'] is string %}
{%- set fastslow.question = fastslow.question + [turn['content']] %}
{%- endif %}
{%- endfor %}
{%- set fastslow_own = (fastslow.question | join('\\n\\n') | lower).split() | join(' ') %}
{%- for worked in fastslow_contexts[fastslow_context][1] if fastslow_own not in worked[2] %}
{%- set fastslow.turns = fastslow.turns + [{'role': 'user', 'content': worked[0]}, \
{'role': 'assistant', 'content': worked[1]}] %}
{%- endfor %}
{%- set fastslow.turns = fastslow.turns + (fastslow.given[1:] if fastslow_system else fastslow.given) %}
<ROWS>
<INSTRUCTION>
{%- endif %}
<JOINING>
{%- set messages = fastslow.turns"""

WITH_SYSTEM_ROLE = """\
{%- if fastslow_system %}
{%- set fastslow.turns = [dict(fastslow.given[0], role='system', content=\
(fastslow_instruction ~ <GAP> if fastslow_instruction else '') ~ fastslow.given[0]['content'])] + fastslow.turns %}
{%- elif fastslow_instruction %}
{%- set fastslow.turns = [{'role': 'system', 'content': fastslow_instruction}] + fastslow.turns %}
{%- endif %}"""

WITHOUT_SYSTEM_ROLE = """\
{%- set fastslow_before = (fastslow_instruction ~ <GAP> if fastslow_instruction else '') \
~ (fastslow.given[0]['content'] ~ '\\n\\n' if fastslow_system and fastslow.given[0]['content'] else '') %}
{%- if fastslow_before and fastslow.turns %}
{%- set fastslow.turns = [dict(fastslow.turns[0], content=fastslow_before ~ fastslow.turns[0]['content'])] \
+ fastslow.turns[1:] %}
{%- endif %}"""

ROWS = """\
{%- set fastslow_rows = fastslow_contexts[fastslow_context][2] %}
{%- if fastslow_rows and fastslow.turns %}
{%- set fastslow.turns = [dict(fastslow.turns[0], content=fastslow_rows ~ (fastslow.turns[0]['content'] or ''))] \
+ fastslow.turns[1:] %}
{%- endif %}"""
"""Where a context may be soft: the names of rows that stand at the beginning of the first turn."""

EMPTY_LINE, GAP = "'\\n\\n'", "fastslow_contexts[fastslow_context][3]"
"""What stands between an instruction and a system turn: an empty line, and nothing after the rows of a soft context."""

JOINING = """\
{%- for turn in fastslow.turns %}
{%- if fastslow.joined and fastslow.joined[-1]['role'] == turn['role'] and turn['role'] in <SPEAKERS> \
and turn['content'] is string and fastslow.joined[-1]['content'] is string \
and not turn['tool_calls'] and not fastslow.joined[-1]['tool_calls'] %}
{%- set fastslow.meet = fastslow.meet or turn['role'] in <ALTERNATING> %}
{%- set fastslow.joined = fastslow.joined[:-1] + [dict(fastslow.joined[-1], \
content=fastslow.joined[-1]['content'] ~ '\\n\\n' ~ turn['content'])] %}
{%- else %}
{%- set fastslow.joined = fastslow.joined + [turn] %}
{%- endif %}
{%- endfor %}
{%- if fastslow.meet %}
{%- set fastslow.turns = fastslow.joined %}
{%- endif %}"""

MEETING = {
    "user": ("user", "user"),
    "assistant": ("user", "assistant", "assistant", "user"),
    "system": ("system", "system", "user"),
}
"""Role -> a conversation in which two of its turns meet."""


ALWAYS_GIVEN = ("tools", "documents")
"""Arguments that transformers passes to every template, as none where a request has none."""


def with_contexts(
    tokenizer: PreTrainedTokenizerBase,
    contexts: Sequence[Context],
    *,
    lead: Context,
    default: Context | None = None,
    kwargs: Mapping[str, Any] | None = None,
    date: str,
) -> str | dict[str, str]:
    """Return the tokenizer's chat template, or each of its named templates, behind the header that applies `contexts`.

    `default` is the context of a request that names none, by default the `lead`. `kwargs` are the template's arguments
    of the run, which become defaults, and `date` is what templates that print
    the date are told (see `policy.chat.Chat`). Raises BadInput for a text, a component or an argument that a template
    cannot hold.
    """
    chat = Chat(tokenizer, kwargs=kwargs, date=date)
    templates: Any = tokenizer.chat_template
    alternating = _alternating(chat)
    soft = any(context.soft is not None for context in contexts)
    parts = {
        "<CONTEXTS>": _table(contexts, soft=soft),
        "<DEFAULT>": literal((default or lead).id, "the id of the default"),
        "<LEAD>": literal(lead.id, "the id of the lead"),
        "<SYSTEM_ROLES>": _roles(SYSTEM_ROLES),
        "<ROWS>": ROWS if soft else "",
        "<INSTRUCTION>": (WITH_SYSTEM_ROLE if chat.system_role else WITHOUT_SYSTEM_ROLE).replace(
            "<GAP>", GAP if soft else EMPTY_LINE
        ),
        "<JOINING>": _filled(JOINING, {"<SPEAKERS>": _roles(SPEAKERS), "<ALTERNATING>": _roles(alternating)})
        if alternating
        else "",
    }

    def behind_header(template: str) -> str:
        filled = {**parts, "<DEFAULTS>": "\n".join([*_defaults(kwargs or {}), *_clock(template, date)])}
        header = _filled(HEADER, filled)
        # The header must put out nothing, and leave the space at the beginning of a template as it is.
        return (
            "\n".join(line for line in header.split("\n") if line)
            + (" %}\n" if template[:1].isspace() else " -%}\n")
            + template
        )

    if isinstance(templates, str):
        return behind_header(templates)
    return {name: behind_header(template) for name, template in templates.items()}


def check_names(templates: Any) -> None:
    """Raise BadInput for named templates of a tokenizer whose names are no names of files: each is written as one."""
    strange = (
        next((name for name in templates if not TEMPLATE_NAME.fullmatch(name)), None)
        if isinstance(templates, dict)
        else None
    )
    if strange is not None:
        raise BadInput(
            f"the tokenizer has a chat template named '{quoted(strange, 60)}', which is no name of a file: letters, "
            "digits, '_', '-' and '.' inside, at most 100. Rename it in the tokenizer's files."
        )


def literal(value: Any, what: str) -> str:
    """Return a value of JSON as an expression of Jinja. Raises BadInput, naming `what`, for anything else."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return _quoted(value, what)
    if isinstance(value, (int, float)) and value == value and abs(value) != float("inf"):
        return repr(value)
    if isinstance(value, list):
        return _row(literal(item, what) for item in value)
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return "{" + ", ".join(f"{_quoted(key, what)}: {literal(item, what)}" for key, item in value.items()) + "}"
    raise BadInput(f"{what} holds {value!r:.60}, which a chat template cannot hold; give text, numbers or lists.")


def check_text(text: str, what: str) -> None:
    """Raise BadInput, naming `what`, for a text that UTF-8 cannot hold: models may write half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadInput(f"{what} holds half a surrogate pair, which no file can hold as text; mend the text.") from None


def _quoted(text: str, what: str) -> str:
    """Quote a text for Jinja, which reads escapes as Python does. Signs that are part of Jinja's own tags, and those
    that an editor may change or not show, are escaped, so that a search for tags in the file finds the template's own.
    """
    check_text(text, what)
    return '"' + "".join(_escaped(sign) for sign in text) + '"'


def _escaped(sign: str) -> str:
    if sign in '"\\':
        return f"\\{sign}"
    shown = unicodedata.category(sign)[0] not in "CZ" or sign == " "
    if sign in "{}%#" or not shown:
        return f"\\u{ord(sign):04x}" if ord(sign) < 0x10000 else f"\\U{ord(sign):08x}"
    return sign


def _row(items: Any) -> str:
    return "[" + ", ".join(items) + "]"


def _table(contexts: Sequence[Context], *, soft: bool) -> str:
    """Return id -> [instruction, [[question, answer, [normal forms of the question]], ...]] as an expression; with
    `soft`, followed by the names of rows at the beginning of the first turn and what stands behind an instruction."""
    rows = {}
    for context in contexts:
        what = f"context {context.id}"
        others = sorted(set(context.components) - {INSTRUCTION, EXAMPLES, SOFT, SOFT_TURN})
        if others:
            raise BadInput(f"{what} has the component '{others[0]}', which a chat template cannot apply.")
        worked = [
            [one.question, one.answer, sorted({" ".join(one.question.lower().split()), folded(one.question)})]
            for one in context.worked_examples
        ]
        instruction = context.components.get(SOFT, context.components.get(INSTRUCTION, ""))
        more = [context.components.get(SOFT_TURN, ""), "" if context.soft is not None else "\n\n"] if soft else []
        rows[context.id] = literal([instruction, worked, *more], what)
    return "{" + ",\n".join(f'"{id}": {row}' for id, row in rows.items()) + "}"


def _defaults(kwargs: Mapping[str, Any]) -> list[str]:
    """Return the lines that give arguments of the template the values that they had in training."""
    lines = []
    for name, value in kwargs.items():
        if not ARGUMENT_NAME.fullmatch(name):
            raise BadInput(f"chat_template_kwargs has '{name}', which is no name of a template's argument.")
        value = literal(value, f"'{name}' of chat_template_kwargs")
        missing = f"{name} is not defined{f' or {name} is none' if name in ALWAYS_GIVEN else ''}"
        lines += [f"{{%- if {missing} %}}", f"{{%- set {name} = {value} %}}", "{%- endif %}"]
    return lines


def _clock(template: str, date: str) -> list[str]:
    """Return a macro that answers for the clock where the template asks it: training told it always the same date."""
    formats = {first or second for first, second in CLOCK.findall(template)}
    if not formats:
        return []
    moments = literal({name: moment_of(date).strftime(name) for name in sorted(formats)}, "the date")
    return ["{%- macro strftime_now(format) %}", "{{- " + moments + "[format] }}", "{%- endmacro %}"]


def _alternating(chat: Chat) -> list[str]:
    """Return the roles of which two turns may not follow each other here, so that `Chat.text` joins them."""
    return [role for role, roles in MEETING.items() if _is_joined(chat, roles)]


def _is_joined(chat: Chat, roles: Sequence[str]) -> bool:
    turns = [{"role": role, "content": f"turn {number} of the probe"} for number, role in enumerate(roles)]
    try:
        return chat.text(turns, "two turns of one role") == chat.text(merged(turns), "two turns as one")
    except BadInput:  # neither can be shown
        return False


def _filled(text: str, marks: Mapping[str, str]) -> str:
    """Fill in all marks in one pass: a context's text may spell any of them."""
    return re.sub("|".join(marks), lambda mark: marks[mark[0]], text)


def _roles(roles: Sequence[str]) -> str:
    return _row(literal(role, "a role") for role in roles)
