"""Adapters that cannot be meant are refused in one line, before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput

STAGES: dict[str, Any] = {"tasks": ["reasoning_gym:products", "reasoning_gym:gcd"], "stage_steps": 2, "task": ""}
STACK: dict[str, Any] = {**STAGES, "lora_r": 2, "adapter_stages": "stack"}
VLLM: dict[str, Any] = {"engine": "vllm", "engine_urls": ["http://127.0.0.1:8001"]}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"adapter": "jumplora"}, "adapter 'jumplora' is about adapters, and lora_r is 0: set lora_r"),
        ({"adapter": "olora", "lora_r": 2}, "unknown adapter 'olora'. Did you mean 'lora'"),
        ({**STAGES, "adapter_stages": "stack"}, "adapter_stages 'stack' is about adapters, and lora_r is 0"),
        ({**STACK, "adapter": "shira"}, "adapter_stages 'stack' is for LoRA"),
        ({"adapter_stages": "merge", "lora_r": 2}, "an adapter for each stage of a stream: name --tasks"),
        ({**STACK, "stream": "recur:2"}, "with stream 'sequence' or 'overlap'"),
        ({"adapter": "osf", "lora_r": 2, "engine_sync": "lora", **VLLM}, "brings one LoRA adapter, and this run has"),
        ({**STACK, "engine_sync": "lora", **VLLM}, "adapter_stages 'stack': set engine_sync disk"),
        ({**STACK, **VLLM, "adapter_stages": "merge"}, "measures merged weights in this process"),
        ({"adapter": "corda", "lora_r": 2, "from_bundle": "run"}, "from_bundle goes on with whole weights or one LoRA"),
        ({"adapter": "jumplora", "lora_r": 2, "sync_ref_model": True}, "sync_ref_model moves a copy of whole weights"),
        ({**STACK, "retention_floor": 0.9, "retention_action": "rollback", "eval_strategy": "steps"}, "has others in"),
    ],
)
def test_what_means_nothing_is_one_line(settings: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"bf16": False, **settings}
    with pytest.raises(BadInput) as refused:
        FastSlowConfig(**given)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_adapter_for_each_stage_takes_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastslow.config.checks.all_processes", lambda: 2)
    with pytest.raises(BadInput, match="which one process can"):
        FastSlowConfig(**STACK, bf16=False)


@pytest.mark.parametrize(
    "settings", [STACK, {**STACK, "stream": "overlap:0.5"}, {"lora_r": 2, "adapter": "osf", **VLLM}]
)
def test_what_has_a_meaning_is_taken(settings: dict[str, Any]) -> None:
    FastSlowConfig(bf16=False, **settings)
