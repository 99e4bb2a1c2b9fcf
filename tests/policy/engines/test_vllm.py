"""The engine on vLLM servers, over real HTTP against a server that speaks their dialect and samples for real."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from fastslow.core.errors import BadInput, EngineError
from fastslow.policy.engines.base import Prompt, SamplingParams
from fastslow.policy.engines.servable import MARKER
from fastslow.policy.engines.vllm import servers_of
from tests.support.conformance import Case, off, shift
from tests.support.openai_server import OpenAIServer
from tests.support.served import TOKENIZER, engine_for, prepared, serving
from tests.support.tiny import tiny_model
from tests.support.vllm_server import VllmServer

PARAMS = SamplingParams(4)


def case(model: Any) -> Case:
    return Case(model, lambda eos: None, range(250), int(TOKENIZER.eos_token_id))  # type: ignore[arg-type, return-value]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return prepared(tmp_path_factory.mktemp("served") / "model")


@pytest.fixture
def server(folder) -> Iterator[VllmServer]:
    with serving(folder) as [one]:
        yield one


def lora() -> Any:
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    return get_peft_model(tiny_model(TOKENIZER), config)


# Requests


def test_every_rollout_is_a_request_of_its_own_with_its_seed_and_the_prompts_ids(server) -> None:
    engine = engine_for(tiny_model(TOKENIZER), [server])
    engine.refresh(0)
    engine.sample([Prompt((5, 6, 7), 2**64 + 11), Prompt((5, 6, 7), 12)], PARAMS)
    assert sorted(body["seed"] for body in server.asked) == [11, 12]
    assert all(body["n"] == 1 and body["prompt"] == [5, 6, 7] for body in server.asked)


def test_nothing_is_left_to_the_generation_config_of_the_server(server) -> None:
    engine = engine_for(tiny_model(TOKENIZER), [server], eos=[3, 4])
    engine.refresh(0)
    engine.sample([Prompt((5, 6, 7), 0)], SamplingParams(4, temperature=0.5))
    [body] = server.asked
    assert (body["temperature"], body["top_p"], body["top_k"], body["min_p"]) == (0.5, 1.0, 0, 0.0)
    assert body["repetition_penalty"] == 1.0
    assert body["ignore_eos"], "which tokens end an answer is said by the trainer, not by the server's tokenizer"
    assert body["stop_token_ids"] == [3, 4]


def test_contexts_stay_with_their_server_and_every_server_has_as_much_to_do(folder) -> None:
    with serving(folder, 2) as servers:
        engine = engine_for(tiny_model(TOKENIZER), servers)
        engine.refresh(0)
        contexts = [tuple(range(c, c + 40)) for c in (10, 60, 110, 160)]
        prompts = [Prompt((*c, 7, q), q, prefix=40) for c in contexts for q in range(4)]
        for _ in range(3):  # of every context as many rollouts in each batch
            engine.sample(prompts, PARAMS)
        served = [Counter(tuple(body["prompt"][:40]) for body in server.asked) for server in servers]
        assert [sum(counts.values()) for counts in served] == [24, 24]
        assert not set(served[0]) & set(served[1])
        assert engine.place(prompts[0]) in engine.describe()["urls"]
        usage = engine.usage()
        assert usage["cached_tokens"] / usage["prompt_tokens"] > 0.5, "the fake keeps whole blocks of a prompt"
        engine.close()


@pytest.mark.parametrize(
    ("process", "processes", "servers", "own"),
    [(0, 1, 3, [0, 1, 2]), (1, 2, 4, [1, 3]), (0, 4, 2, [0]), (3, 4, 2, [1]), (2, 3, 3, [2])],
)
def test_processes_share_servers_equally(process: int, processes: int, servers: int, own: list[int]) -> None:
    assert servers_of(process, processes, servers) == own


def test_numbers_that_do_not_divide_are_refused() -> None:
    with pytest.raises(BadInput, match="3 engine_urls cannot be shared equally by 2 processes"):
        servers_of(0, 2, 3)


# Weights


def test_a_refresh_brings_the_weights_and_a_repeated_one_brings_nothing(server) -> None:
    model = tiny_model(TOKENIZER)
    engine = engine_for(model, [server])
    for version in (0, 0, 1, 1):
        engine.refresh(version)
    assert len(server.pushes) == 2
    assert not Path(server.pushes[0]).exists(), "the folder of older weights is deleted"
    engine.close()


def test_the_head_is_written_apart_from_the_embedding(server) -> None:
    model = tiny_model(TOKENIZER)
    assert model.config.tie_word_embeddings
    engine = engine_for(model, [server])
    engine.refresh(0)
    written = Path(server.pushes[-1])
    assert json.loads((written / "config.json").read_text())["tie_word_embeddings"] is False
    assert "lm_head.weight" in (written / "model.safetensors").read_bytes()[:4096].decode("latin-1")
    assert model.config.tie_word_embeddings, "the model in training is left as it was"
    engine.close()


def test_a_restarted_server_is_noticed_before_a_batch_and_pushed_to_again(server) -> None:
    model = tiny_model(TOKENIZER)
    shift(model)
    engine = engine_for(model, [server])
    engine.refresh(0)
    server.start_over()
    engine.refresh(0)
    prompts = [case(model).prompt(20, seed) for seed in range(3)]
    assert off(case(model), prompts, engine.sample(prompts, PARAMS)) < 1e-3
    engine.close()


def test_a_server_whose_weights_change_while_it_answers_is_not_believed(server) -> None:
    engine = engine_for(tiny_model(TOKENIZER), [server])
    engine.refresh(0)
    server.on_completion = lambda count: server.start_over() if count == 1 else None
    with pytest.raises(EngineError, match=f"{server.url} changed its weights while it answered"):
        engine.sample([Prompt((5, 6, 7), seed) for seed in range(3)], PARAMS)
    engine.close()


def test_another_run_on_the_same_server_is_noticed(server) -> None:
    one, other = (engine_for(tiny_model(TOKENIZER), [server]) for _ in range(2))
    one.refresh(0)
    other.refresh(0)
    with pytest.raises(EngineError, match="another run uses it"):
        one.sample([Prompt((5, 6, 7), 0)], PARAMS)
    one.refresh(0)
    one.sample([Prompt((5, 6, 7), 0)], PARAMS)
    one.close()
    other.close()


def test_adapters_are_swapped_in_and_off_means_the_served_model(server) -> None:
    model = lora()
    engine = engine_for(model, [server], adapters=True)
    prompts = [case(model).prompt(40, seed, prefix=32) for seed in range(3)]
    for version in range(2):
        shift_adapters(model)
        engine.refresh(version)
        assert off(case(model), prompts, engine.sample(prompts, PARAMS)) < 1e-3
    with model.disable_adapter():
        engine.refresh(2)
        assert off(case(model), prompts, engine.sample(prompts, PARAMS)) < 1e-3
    engine.close()


def test_adapters_by_disk_are_merged_without_touching_the_model(server) -> None:
    model = lora()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    engine = engine_for(model, [server])
    engine.refresh(0)
    prompts = [case(model).prompt(40, seed) for seed in range(3)]
    assert off(case(model), prompts, engine.sample(prompts, PARAMS)) < 1e-3
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    with model.disable_adapter():
        engine.refresh(1)
        assert off(case(model), prompts, engine.sample(prompts, PARAMS)) < 1e-3
    engine.close()


@torch.no_grad()
def shift_adapters(model: Any) -> None:
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(name)))


# Servers that fail


def test_a_dead_server_ends_the_batch_with_its_url_and_the_others_are_not_waited_for(folder) -> None:
    with serving(folder, 2) as (good, bad):
        engine = engine_for(tiny_model(TOKENIZER), [good, bad])
        engine.refresh(0)
        bad.crash()
        prompts = [Prompt((c, *range(30)), seed, prefix=20) for c in (40, 41) for seed in range(2)]
        with pytest.raises(EngineError, match=f"the vLLM server at {bad.url} cannot be reached"):
            engine.sample(prompts, PARAMS)
        engine.close()


def answers(server: VllmServer, **changes: Any) -> None:
    """Have the server answer with a completion in which some entries of the choice are others."""
    honest = server.complete

    def complete(body: dict[str, Any]) -> tuple[int, Any]:
        status, told = honest(body)
        told["choices"][0].update(changes)
        return status, told

    server.post = lambda path, body: (
        complete(body) if path == "/v1/completions" else VllmServer.post(server, path, body)
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt_token_ids": [5, 6, 8]}, "echoes another prompt"),
        ({"token_ids": []}, "do not belong together"),
        ({"token_ids": [1], "logprobs": {"token_logprobs": [-1.0]}}, "ends where it should not"),
        ({"token_ids": [258, 1, 1, 1]}, "ends where it should not"),
        ({"token_ids": ["a", 1, 1, 1]}, "no numbers"),
        ({"token_ids": [1, 1, 1, 10**6]}, "none of the .* of the model"),
        ({"token_ids": [1, 1, 1, 10**400]}, "none of the .* of the model"),
        ({"token_ids": [-1, 1, 1, 1]}, "none of the .* of the model"),
        ({"token_ids": [1] * 4, "logprobs": {"token_logprobs": ["-1.5"] * 4}}, "no numbers"),
        ({"token_ids": [1] * 4, "logprobs": {"token_logprobs": [False] * 4}}, "no numbers"),
        ({"token_ids": [1] * 4, "logprobs": {"token_logprobs": [-(10**400)] * 4}}, "OverflowError"),
        ({"finish_reason": "abort"}, "ends where it should not .abort"),
        ({"finish_reason": "\x1b[2J" + "x" * 10**6}, "ends where it should not"),
        ({"token_ids": [1] * 9, "logprobs": {"token_logprobs": [-1.0] * 9}}, "9 tokens where 1 to 4"),
        ({"logprobs": {"token_logprobs": [-1.0, -1.0, 2.0, -1.0]}, "token_ids": [1, 1, 1, 1]}, "above 0"),
        ({"logprobs": None}, "TypeError"),
        ({"token_ids": None}, "TypeError"),
    ],
)
def test_what_no_honest_server_answers_is_not_used(server, changes: dict[str, Any], words: str) -> None:
    changes = json.loads(json.dumps(changes).replace("258", str(TOKENIZER.eos_token_id)))
    engine = engine_for(tiny_model(TOKENIZER), [server])
    engine.refresh(0)
    answers(server, **changes)
    with pytest.raises(EngineError, match=words) as refused:
        engine.sample([Prompt((5, 6, 7), 0)], PARAMS)
    assert server.url in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400
    engine.close()


def test_several_completions_for_one_prompt_are_not_used(server) -> None:
    engine = engine_for(tiny_model(TOKENIZER), [server])
    engine.refresh(0)
    honest = server.complete

    def twice(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        status, told = honest(body) if path == "/v1/completions" else VllmServer.post(server, path, body)
        return status, told if path != "/v1/completions" else {**told, "choices": told["choices"] * 2}

    server.post = twice
    with pytest.raises(EngineError, match="too many values"):
        engine.sample([Prompt((5, 6, 7), 0)], PARAMS)
    engine.close()


@pytest.mark.parametrize("cached", [-1, 4, 10**400, True, "3"])
def test_a_cache_that_cannot_be_is_not_counted(server, cached: Any) -> None:
    engine = engine_for(tiny_model(TOKENIZER), [server])
    engine.refresh(0)
    honest = server.complete

    def told(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path != "/v1/completions":
            return VllmServer.post(server, path, body)
        status, answer = honest(body)
        answer["usage"]["prompt_tokens_details"]["cached_tokens"] = cached
        return status, answer

    server.post = told
    engine.sample([Prompt((5, 6, 7), 0)], PARAMS)
    assert "cached_tokens" not in engine.usage()
    assert engine.usage()["prefill_tokens"] == 3
    engine.close()


@pytest.mark.parametrize("path", ["/collective_rpc", "/reset_prefix_cache", "/update_weight_version"])
def test_an_error_under_status_200_is_an_error(server, path: str) -> None:
    engine = engine_for(tiny_model(TOKENIZER), [server])
    server.post = lambda asked, body: (
        (200, {"error": {"message": "no such file"}}) if asked == path else VllmServer.post(server, asked, body)
    )
    with pytest.raises(EngineError, match=f"answered {path} with an error: .*no such file"):
        engine.refresh(0)
    engine.close()


def test_a_prefix_cache_that_cannot_be_dropped_is_an_error(server) -> None:
    engine = engine_for(tiny_model(TOKENIZER), [server])
    server.post = lambda path, body: (
        (200, {"success": False}) if path == "/reset_prefix_cache" else VllmServer.post(server, path, body)
    )
    with pytest.raises(EngineError, match="did not drop its prefix cache"):
        engine.refresh(0)
    engine.close()


# Refusals before a run


def refusal(model: Any, servers: list[Any], **settings: Any) -> str:
    with pytest.raises(BadInput) as refused:
        engine_for(model, servers, **settings)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_no_server_and_a_foreign_one_are_refused_by_url(folder) -> None:
    with serving(folder) as [gone]:
        pass
    assert f"{gone.url} cannot be reached" in refusal(tiny_model(TOKENIZER), [gone])
    with OpenAIServer(["hello"]) as foreign:
        foreign.url = f"http://{foreign.host}"  # type: ignore[attr-defined]
        assert f"http://{foreign.host} answered /version with HTTP" in refusal(tiny_model(TOKENIZER), [foreign])


def test_a_server_that_takes_no_weights_is_refused_with_what_to_set(folder) -> None:
    with serving(folder, dev=False) as servers:
        assert "VLLM_SERVER_DEV_MODE=1" in refusal(tiny_model(TOKENIZER), servers)
    with serving(folder, adapters=False) as servers:
        assert "--enable-lora" in refusal(lora(), servers, adapters=True)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"logprobs_mode": "raw_logprobs"}, "was started with --logprobs-mode raw_logprobs"),
        ({"dtype": "torch.bfloat16"}, "was started with --dtype bfloat16; start it with float32"),
    ],
)
def test_a_server_that_computes_otherwise_is_refused(folder, settings: dict[str, str], words: str) -> None:
    with serving(folder, settings=settings) as servers:
        assert words in refusal(tiny_model(TOKENIZER), servers)


def test_a_server_of_a_folder_that_was_not_prepared_gets_no_weights(tmp_path) -> None:
    folder = prepared(tmp_path / "model")
    (folder / MARKER).unlink()
    with serving(folder) as servers:
        assert "fastslow engine prepare" in refusal(tiny_model(TOKENIZER), servers)
    assert not list((folder / "pushed").iterdir())


def test_a_server_of_another_model_is_refused(tmp_path) -> None:
    other = tiny_model(TOKENIZER)
    other.resize_token_embeddings(300)
    with serving(prepared(tmp_path / "model", other)) as servers:
        assert "serves another model" in refusal(tiny_model(TOKENIZER), servers)


def test_a_server_with_another_tokenizer_is_refused(server) -> None:
    server.post = lambda path, body: (
        (200, {"tokens": [1, 2]}) if path == "/tokenize" else VllmServer.post(server, path, body)
    )
    assert "another tokenizer" in refusal(tiny_model(TOKENIZER), [server])


def test_the_shorter_window_of_a_server_is_the_engines(folder) -> None:
    with serving(folder, window=4096) as [one], serving(folder, window=512) as [other]:
        engine = engine_for(tiny_model(TOKENIZER), [one, other])
        assert engine.window == 512
        engine.close()


def test_a_proxy_of_the_environment_is_not_asked_for_a_server_on_this_machine(server, monkeypatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    engine_for(tiny_model(TOKENIZER), [server]).close()
