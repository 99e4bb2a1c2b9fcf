"""Models are found by name or refused in one line, before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest
from safetensors.torch import load_file, save_file

from fastslow.core.errors import BadInput
from fastslow.policy.loading import (
    EMBEDDED_BYTES,
    ModelSource,
    context_window,
    control_tokens,
    default_learning_rate,
    frozen_clone,
    has_system_role,
    load_model,
    load_tokenizer,
    model_window,
    pad_id,
    resolve_model,
    weight_bytes,
)
from tests.support.tiny import CLOSES_ROLE, OPENS_ROLE, save_tiny, tiny_model, tiny_tokenizer, tokenizer_with_headers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny"))


def test_a_folder_with_a_model_is_its_own_path(folder: Path) -> None:
    assert resolve_model(str(folder)) == ModelSource(str(folder), str(folder))


def test_a_hub_id_is_left_as_it_is() -> None:
    assert resolve_model("owner/name").path == "owner/name"


@pytest.mark.parametrize("name", ["./missing", "/no/such/folder", "a/b/c"])
def test_a_missing_folder_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        resolve_model(name)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no config\.json"):
        resolve_model(str(tmp_path))


def test_weights_that_are_missing_are_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop("model.layers.0.mlp.up_proj.weight")
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadInput, match="lacks 1 weights"):
        load_model(resolve_model(str(tmp_path)))


def test_a_broken_config_is_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BadInput, match="cannot be loaded") as raised:
        load_model(resolve_model(str(tmp_path)))
    assert "\n" not in str(raised.value)


def test_half_a_surrogate_pair_in_a_chat_template_is_refused(folder: Path, tmp_path: Path) -> None:
    """Also where no question shows it: no bundle could be written."""
    tiny_tokenizer().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["chat_template"] = "{{ messages[0]['content'] }}{% if false %}\ud83d{% endif %}"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match="holds half a surrogate pair"):
        load_tokenizer(resolve_model(str(tmp_path)))


def test_a_tokenizer_without_a_chat_template_is_refused(folder: Path, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(BadInput, match="no chat template"):
        load_tokenizer(resolve_model(str(tmp_path)))


def test_a_tokenizer_pads_on_the_left(folder: Path) -> None:
    tokenizer = load_tokenizer(resolve_model(str(folder)))
    assert tokenizer.padding_side == "left"
    assert pad_id(tokenizer) == tokenizer.pad_token_id


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{% for m in messages %}{{ m.content }}{% endfor %}", True),
        ("{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}", False),
        ("{{ raise_exception('no system role') }}", False),
    ],
)
def test_whether_a_template_shows_a_system_turn(template: str, expected: bool) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    assert has_system_role(tokenizer) is expected


def test_the_window_is_the_same_before_and_after_loading(folder: Path) -> None:
    source = resolve_model(str(folder))
    assert model_window(source) == context_window(load_model(source)) == 8192


def test_weights_on_this_machine_are_counted_and_others_estimated(folder: Path) -> None:
    assert weight_bytes(str(folder)) == (folder / "model.safetensors").stat().st_size
    assert weight_bytes("owner/name") == EMBEDDED_BYTES


def test_a_frozen_clone_is_a_copy_without_gradients() -> None:
    model = tiny_model(tiny_tokenizer())
    clone = frozen_clone(model)
    assert not any(p.requires_grad for p in clone.parameters())
    assert all(p.requires_grad for p in model.parameters())
    assert next(clone.parameters()).data_ptr() != next(model.parameters()).data_ptr()


def test_a_small_model_learns_at_the_higher_rate() -> None:
    assert default_learning_rate(tiny_model(tiny_tokenizer())) == 1e-5


def test_control_tokens_are_those_of_the_map_and_special_added_ones_each_once() -> None:
    tokenizer = tokenizer_with_headers()
    tokenizer.add_tokens(["<tool>"])  # an added token that is not special, which a text may hold
    named = tokenizer.all_special_tokens
    assert OPENS_ROLE not in named
    assert sorted(control_tokens(tokenizer)) == sorted([*named, OPENS_ROLE, CLOSES_ROLE])


def test_a_tokenizer_that_lists_no_added_tokens_has_those_that_it_names() -> None:
    class Bare:
        all_special_tokens: ClassVar = ["<s>", "[INST]"]

        @property
        def added_tokens_decoder(self) -> dict:
            raise NotImplementedError  # as MistralCommonBackend of transformers does

    assert control_tokens(Bare()) == ["<s>", "[INST]"]  # type: ignore[arg-type]
