"""The settings of engines: which servers can be meant, and what training on them rules out."""

from __future__ import annotations

from typing import Any

import pytest

from fastslow.config.parsing import parse_config
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput

HERE = ["http://127.0.0.1:8001"]


def config(**settings: Any) -> FastSlowConfig:
    given: dict[str, Any] = {"task": "star_graph", "engine": "vllm", "engine_urls": HERE, **settings}
    return FastSlowConfig(**given)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"engine_urls": None}, "needs engine_urls", id="no URL"),
        pytest.param({"engine": "transformers"}, "engine_urls are for engine 'vllm'", id="no engine"),
        pytest.param({"engine": "vlm"}, "engine is 'transformers' or 'vllm', got 'vlm'", id="no such engine"),
        pytest.param({"engine_urls": ["http://gpu7:8001"]}, "--engine_remote true", id="another machine"),
        pytest.param({"engine_urls": ["http://0.0.0.0:8001"]}, "--engine_remote true", id="all interfaces"),
        pytest.param({"engine_urls": ["127.0.0.1:8001"]}, "not of the form http://HOST:PORT", id="no scheme"),
        pytest.param({"engine_urls": ["http://127.0.0.1:8001/v1"]}, "not of the form http://HOST:PORT", id="a path"),
        pytest.param({"engine_urls": ["http://[::1"]}, "what is no URL", id="no URL at all"),
        pytest.param({"engine_urls": ["http://127.0.0.1:99999"]}, "what is no URL", id="no port"),
        pytest.param({"engine_urls": ["http://me:secret@127.0.0.1:8001"]}, "VLLM_API_KEY", id="a password"),
        pytest.param({"engine_urls": ["http://:secret@127.0.0.1:8001"]}, "VLLM_API_KEY", id="no user, a password"),
        pytest.param({"engine_urls": ["http://@127.0.0.1:8001"]}, "VLLM_API_KEY", id="no user"),
        pytest.param({"engine_urls": ["http://127.0.0.1:8001/secret"]}, "not of the form", id="a secret path"),
        pytest.param({"engine_urls": ["http://127.0.0.1:8001#secret"]}, "not of the form", id="a secret fragment"),
        pytest.param({"engine_urls": ["http://127.0.0.1:0"]}, "not of the form", id="port 0"),
        pytest.param({"engine_urls": ["http://\uff11\uff12\uff17.0.0.1:1"]}, "that no URL has", id="wide digits"),
        pytest.param({"engine_urls": ["http://local\x01host:1"]}, "that no URL has", id="a control character"),
        pytest.param({"engine_urls": HERE * 2}, "names a server twice", id="twice"),
        pytest.param({"engine_urls": [*HERE, "HTTP://localhost:08001"]}, "names a server twice", id="in two ways"),
        pytest.param({"engine_urls": ["http://localhost", "http://localhost:80"]}, "twice", id="its usual port"),
        pytest.param({"top_p": 0.9}, "top_p changes", id="top_p"),
        pytest.param({"top_k": 5}, "top_k changes", id="top_k"),
        pytest.param({"min_p": 0.1}, "min_p changes", id="min_p"),
        pytest.param({"repetition_penalty": 1.1}, "repetition_penalty changes", id="repetition_penalty"),
        pytest.param({"engine_sync": "lora"}, "set lora_r, or engine_sync to disk", id="no adapters"),
        pytest.param({"engine_gap": 0.0}, "engine_gap must be above 0", id="no gap"),
        pytest.param({"use_vllm": True}, "engine 'vllm' and engine_urls", id="TRL's own"),
    ],
)
def test_servers_that_cannot_be_meant_are_refused_in_one_line(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as refused:
        config(**settings)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_several_servers_are_given_as_a_list_or_with_commas() -> None:
    asked = ["http://127.0.0.1:8001", "http://localhost:8002", "http://[::1]:8003"]
    flags = ["--task", "star_graph", "--engine", "vllm", "--engine_urls"]
    assert parse_config([*flags, *asked]).engine_urls == asked
    assert parse_config([*flags, ",".join(asked)]).engine_urls == asked
    assert config(engine_urls=["http://127.0.0.1:8001/, http://localhost:8002"]).engine_urls == asked[:2]


def test_another_machine_needs_a_yes_and_evaluations_may_cut_the_distribution() -> None:
    config(engine_urls=["https://gpu7.example:8001"], engine_remote=True, eval_top_p=0.9)
