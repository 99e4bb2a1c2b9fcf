"""The settings of the policy: the model, and how its answers are sampled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from fastslow.core.errors import BadInput
from fastslow.core.hosts import is_loopback, place_of
from fastslow.core.settings import SettingsGroup, inherited, setting

LEAST_TEMPERATURE, MOST_TEMPERATURE = 0.01, 100.0
"""Logits are divided by it. Below, sampling is greedy but for overflows of fp32 (vLLM raises lower ones to 0.01 for
that reason); above, it is uniform."""

TEMPLATE_DATE = "2026-01-01"
"""What chat templates that print the date are told: always the same, or two runs of one seed would differ."""


def is_temperature(value: float) -> bool:
    """Return whether answers can be sampled at this temperature; 0 is greedy."""
    return value == 0 or LEAST_TEMPERATURE <= value <= MOST_TEMPERATURE


def moment_of(date: str) -> datetime:
    """Return the moment that a date in ISO form names, midnight where it names no time. Raises BadInput."""
    try:
        return datetime.fromisoformat(date)
    except ValueError:
        raise BadInput(f"template_date must be a date such as 2026-01-31 or 2026-01-31T09:30, got '{date}'.") from None


def _check_mapping(text: str) -> None:
    """Refuse arguments of the chat template that are no mapping in JSON."""
    try:
        read = json.loads(text)
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise BadInput(
            "chat_template_kwargs must be a mapping, on the command line in JSON such as "
            f"'{{\"enable_thinking\": false}}', got '{text}'."
        )


def _check_url(url: str, *, remote: bool) -> None:
    """Refuse what is no URL of a server, and one of another machine unless that was allowed. Raises BadInput."""
    try:
        parts = urlsplit(url)
        plain = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise BadInput("engine_urls holds what is no URL; give http://HOST:PORT.") from None
    if "@" in parts.netloc or parts.query:
        raise BadInput("engine_urls must hold no user, password or query; a server's key goes into VLLM_API_KEY.")
    if not url.isascii() or not url.isprintable() or " " in url:  # a client reads such hosts in ways of its own
        raise BadInput("engine_urls holds characters that no URL has; give http://HOST:PORT.")
    if not plain or parts.path or parts.fragment:  # what follows the host may be a secret, and is not repeated
        said = url.partition("#")[0] if not plain else f"{parts.scheme}://{parts.netloc}/..."
        raise BadInput(f"engine_urls holds '{said}', which is not of the form http://HOST:PORT.")
    if not remote and not is_loopback(url):
        raise BadInput(
            f"engine_urls names another machine, {parts.hostname}: a server in development mode runs whatever it is "
            "told by whoever can reach it. Where only you can reach it, say --engine_remote true."
        )


@dataclass
class PolicySettings(SettingsGroup):
    """Which model answers, and how training samples its answers."""

    title = "Model and sampling"

    model: str = setting(
        "smollm2-135m", "'smollm2-135m' (embedded), a folder written by save_pretrained, a .gguf file, or a hub id.",
        in_bundle=True,
    )  # fmt: skip
    bf16: bool | None = setting(
        None, "Compute in bf16 over fp32 weights; default: where the machine is faster with it.", incidental=True
    )
    temperature: float = setting(
        1.0, "Sampling temperature of rollouts.", at_least=LEAST_TEMPERATURE, at_most=MOST_TEMPERATURE
    )

    engine: str = setting(
        "transformers", "What samples answers: 'transformers' in this process, or 'vllm' servers over HTTP.",
        choices=("transformers", "vllm"), incidental=True,
    )  # fmt: skip
    engine_urls: list[str] | None = setting(  # noqa: RUF009 - the default is None
        None, "URLs of the vLLM servers, such as http://127.0.0.1:8001; contexts are shared out among several.",
        incidental=True,
    )  # fmt: skip
    engine_sync: str = setting(
        "disk", "How weights reach the servers: whole by 'disk', or the adapters of a LoRA run by 'lora'.",
        choices=("disk", "lora"), incidental=True,
    )  # fmt: skip
    engine_gap: float | None = setting(
        None, "Stop where a fresh rollout's token differs by more between server and trainer; default: by the compute "
        "type, 0.001 in fp32.", unit="nats", above=0, incidental=True,
    )  # fmt: skip
    engine_remote: bool = setting(
        False, "Allow engine_urls of other machines: whoever reaches such a server can run code on it.",
        incidental=True,
    )  # fmt: skip

    max_completion_length: int = inherited(
        512, "Longest answer; short answers train much faster.", unit="tokens", above=0, in_bundle=True
    )
    top_p: float = inherited(
        1.0, "Rollouts: sample from the likeliest tokens that hold this probability.", unit="probability", above=0,
        at_most=1,
    )  # fmt: skip
    top_k: int = inherited(0, "Rollouts: sample from this many likeliest tokens; 0: from all.", at_least=0)
    min_p: float | None = inherited(
        None, "Rollouts: leave out tokens below this share of the likeliest token's probability.", unit="probability",
        at_least=0, at_most=1,
    )  # fmt: skip
    repetition_penalty: float = inherited(
        1.0, "Rollouts: above 1, tokens already used become less likely.", at_least=LEAST_TEMPERATURE,
        at_most=MOST_TEMPERATURE,
    )  # fmt: skip
    max_turns: int = setting(
        4, "Most turns of the model in an episode, where the task is an environment that replies.", unit="turns",
        at_least=1, in_bundle=True,
    )  # fmt: skip
    chat_template_kwargs: dict | str | None = inherited(  # noqa: RUF009 - the default is None
        None, "Arguments of the chat template, a mapping; on the command line as JSON.", in_bundle=True
    )
    reasoning: str = setting(
        "auto", "The thoughts of a model that thinks before it answers: 'keep' them in what a scorer reads, 'strip' "
        "them, or strip them where the chat template has marks for them ('auto'). They are trained on in any case.",
        choices=("auto", "keep", "strip"), in_bundle=True,
    )  # fmt: skip
    template_date: str = setting(
        TEMPLATE_DATE, "The date that chat templates are told which print one; fixed, so that runs repeat.",
        in_bundle=True,
    )  # fmt: skip

    def check(self) -> None:
        """Refuse a date that is none, and servers that cannot be meant; several URLs in one text are taken apart."""
        moment_of(self.template_date)
        if isinstance(self.chat_template_kwargs, str):
            _check_mapping(self.chat_template_kwargs)
        urls = [url.strip().rstrip("/") for text in self.engine_urls or [] for url in text.split(",") if url.strip()]
        self.engine_urls = urls or None
        if self.engine == "vllm":
            self._check_servers(urls)
        elif urls:
            raise BadInput(f"engine_urls are for engine 'vllm', and engine is '{self.engine}'; set engine_urls to ''.")

    def _check_servers(self, urls: list[str]) -> None:
        if not urls:
            raise BadInput("engine 'vllm' needs engine_urls, such as http://127.0.0.1:8001; see docs/engines.md.")
        for url in urls:
            _check_url(url, remote=self.engine_remote)
        if len({place_of(url) for url in urls}) < len(urls):
            raise BadInput("engine_urls names a server twice.")
        for name, usual in (("top_p", 1.0), ("top_k", 0), ("min_p", None), ("repetition_penalty", 1.0)):
            if (getattr(self, name) or usual) != usual:
                raise BadInput(
                    f"{name} changes what vLLM calls a token's probability, which training needs whole: leave it at "
                    f"{usual} with engine 'vllm'. eval_top_p may differ."
                )
