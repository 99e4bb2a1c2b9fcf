"""Read a chat request of a stranger: what may be passed on, and what is refused before any server sees it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from fastslow.contexts.rendering import SYSTEM_ROLES
from fastslow.export.template import ARGUMENT
from fastslow.policy.settings import LEAST_TEMPERATURE, MOST_TEMPERATURE
from fastslow.serving.errors import Refused
from fastslow.serving.schemas import check_schemas

MACHINES = "it names other machines"
FILES = "it names a file of the server"
TEXT = "the model reads text only"
MODELS = "there is one model here"

ROLES = ("system", "developer", "user", "assistant", "tool", "function")

REFUSED = {
    # How messages are rendered and answers are sampled.
    "chat_template": "the server's template is used",
    "template": "the server's template is used",
    "generation_config": "name the parameters themselves",
    "documents": "put the text into a message",
    "prompt": "send messages",
    "session_params": "send the whole conversation",
    # Code, and files that are read or loaded.
    "logits_processors": "it names code of the server",
    "custom_logit_processor": "it is code",
    "custom_params": "it is for code of the server",
    "vllm_xargs": "it is for code of the server, and may hold kv_transfer_params",
    "adapter": FILES,
    "adapters": FILES,
    "adapter_id": FILES,
    "adapter_name": FILES,
    "lora": FILES,
    "lora_id": FILES,
    "lora_name": FILES,
    "lora_path": FILES,
    "lora_request": FILES,
    "draft_model": FILES,
    "tokenizer": FILES,
    # Other machines: servers that share their caches, and routers that pass a request on.
    "kv_transfer_params": MACHINES,
    "ec_transfer_params": MACHINES,
    "disaggregated_params": MACHINES,
    "migration_request": MACHINES,
    "bootstrap_host": MACHINES,
    "bootstrap_port": MACHINES,
    "bootstrap_room": MACHINES,
    "api_base": MACHINES,
    "base_url": MACHINES,
    "api_key": "send it as 'Authorization: Bearer KEY'",
    "extra_headers": "no header is passed on",
    "extra_query": "no query is passed on",
    "extra_body": "its fields stand beside the others; OpenAI's client puts them there",
    "litellm_params": MACHINES,
    "user_config": MACHINES,
    "plugins": MACHINES,
    "models": MODELS,
    "fallbacks": MODELS,
    # What is no text.
    "mm_processor_kwargs": TEXT,
    "media_io_kwargs": TEXT,
    "prompt_embeds": TEXT,
    "image_data": TEXT,
    "video_data": TEXT,
    "audio_data": TEXT,
    "images": TEXT,
    "audio": "the model reads and writes text only",
    "modalities": "the model reads and writes text only",
}
"""Fields by which some server would read a file, load code or another model -> what to do instead."""

MOST_MESSAGES = 2_000
LONGEST_ARGUMENT = 200


@dataclass(frozen=True)
class ChatRequest:
    """A request that may be passed on.

    Attributes:
        fields: all that the client sent, except `messages`, `model` and `chat_template_kwargs`.
        turns: the messages, each content as text, or None for an assistant that called a tool.
        arguments: the client's arguments of the chat template, without the context.
        context: the context that the client named; None: none.
    """

    fields: dict[str, Any]
    turns: list[dict[str, Any]]
    arguments: dict[str, Any]
    context: str | None

    @property
    def streams(self) -> bool:
        return self.fields.get("stream") is True

    @property
    def choices(self) -> int:
        """How many answers are asked for; whatever is no such number is for the server behind to refuse."""
        given = self.fields.get("n")
        return given if type(given) is int and given > 1 else 1


def read_request(body: bytes, *, models: Collection[str], arguments: Collection[str]) -> ChatRequest:
    """Read the body of a chat request.

    Args:
        body: JSON, as the client sent it.
        models: the names of the served model.
        arguments: the arguments of the chat template that a client may set.

    Raises Refused, naming the field, for what is not passed on.
    """
    try:
        # A whole body that UTF-8 cannot hold, or half a surrogate pair in an escape, breaks some server behind.
        fields = json.loads(body.decode("utf-8"), parse_constant=_no_number)
        json.dumps(fields, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise Refused(f"the body is not JSON in UTF-8 ({type(error).__name__})") from None
    if not isinstance(fields, dict):
        raise Refused("the body must be a JSON object")
    for name, instead in REFUSED.items():
        if fields.get(name) is not None:
            raise Refused(f"'{name}' is not passed on: {instead}", field=name)
    model = fields.pop("model", None)
    if model is not None and model not in models:
        raise Refused(
            f"there is no model {str(model)!r:.80} here; GET /v1/models names it",
            status=404, code="model_not_found", field="model",
        )  # fmt: skip
    if not isinstance(fields.get("stream"), bool | None):
        raise Refused("'stream' must be true or false", field="stream")
    turns = _turns(fields.pop("messages", None))
    given = _arguments(fields.pop("chat_template_kwargs", None), arguments)
    _check_tools(fields.get("tools"))
    check_schemas(fields)
    context = given.pop(ARGUMENT, None)
    if not isinstance(context, str | None):
        raise Refused(f"'{ARGUMENT}' must be the id of a context", field=f"chat_template_kwargs.{ARGUMENT}")
    return ChatRequest(fields, turns, given, context)


def sampling_of(fields: Mapping[str, Any], own: Mapping[str, float]) -> dict[str, float]:
    """Return the temperature and top-p of a request, and where it names none, the release's `own`.

    A temperature so low that logits overflow is raised, as vLLM does; 0 stays 0. Raises Refused, naming the field, for
    what is no number to sample by: `transformers serve` looks at none of this.
    """
    found = {}
    for name, most in (("temperature", MOST_TEMPERATURE), ("top_p", 1.0)):
        given = fields.get(name)
        value = own[name] if given is None else given
        if type(value) not in (int, float) or not 0 <= value <= most:
            raise Refused(f"'{name}' must be a number from 0 to {most:g}", field=name)
        found[name] = float(value)
    if found["temperature"] > 0:
        found["temperature"] = max(found["temperature"], LEAST_TEMPERATURE)
    return found


def _turns(messages: Any) -> list[dict[str, Any]]:
    if not isinstance(messages, list) or not messages:
        raise Refused("'messages' must be a list of at least one message", field="messages")
    if len(messages) > MOST_MESSAGES:
        raise Refused(f"'messages' has {len(messages)} messages, at most {MOST_MESSAGES} are taken", field="messages")
    turns = []
    for number, message in enumerate(messages):
        field = f"messages[{number}]"
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise Refused(f"'{field}' needs a role: {', '.join(ROLES)}", field=f"{field}.role")
        turns.append({**message, "content": _text(message.get("content"), message["role"], f"{field}.content")})
    first = next((turn for turn in turns if turn["role"] not in SYSTEM_ROLES), turns[0])
    if first["content"] is None:
        raise Refused("a conversation begins with text", field="messages")
    return turns


def _text(content: Any, role: str, field: str) -> str | None:
    """Return a content as text; parts are joined by line ends, as vLLM joins them."""
    if isinstance(content, str):
        return content
    if content is None and role in ("assistant", "tool", "function"):
        return None
    if isinstance(content, list) and content:
        for part in content:
            if not (isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)):
                kind = part.get("type") if isinstance(part, dict) else type(part).__name__
                raise Refused(f"'{field}' has a part of type {str(kind)!r:.40}; the model reads text only", field=field)
        return "\n".join(part["text"] for part in content)
    raise Refused(f"'{field}' must be text, or a list of text parts", field=field)


def _arguments(given: Any, allowed: Collection[str]) -> dict[str, Any]:
    """Return the client's arguments of the chat template: servers hand any others to the function that renders."""
    if given is None:
        return {}
    field = "chat_template_kwargs"
    if not isinstance(given, dict):
        raise Refused(f"'{field}' must be an object", field=field)
    for name, value in given.items():
        if name != ARGUMENT and name not in allowed:
            known = ", ".join([ARGUMENT, *sorted(allowed)])
            raise Refused(f"'{field}' may hold {known}; not {name!r:.60}", field=field)
        short = not isinstance(value, str) or len(value) <= LONGEST_ARGUMENT
        if not short or not isinstance(value, str | bool | int | float | None):
            raise Refused(f"'{field}.{name}' must be a number, a truth value or a short text", field=field)
    return dict(given)


def _check_tools(tools: Any) -> None:
    """Raise Refused for a tool that the server would call: others are calls that the client makes itself."""
    for number, tool in enumerate(tools if isinstance(tools, list) else []):
        kind = tool.get("type", "function") if isinstance(tool, dict) else "function"
        if kind not in ("function", "custom"):
            field = f"tools[{number}].type"
            raise Refused(f"'{field}' must be function or custom: no server calls anything here", field=field)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
