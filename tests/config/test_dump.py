"""config.yaml: it makes the same run again, shows what is ours, and holds no secret."""

from __future__ import annotations

import yaml

from fastslow.config.dump import dump_config
from fastslow.config.settings import FastSlowConfig, own_fields


def test_the_written_config_makes_the_same_run_again(tmp_path) -> None:
    config = FastSlowConfig(
        output_dir=str(tmp_path), task="t", bf16=False, seed=4, population_size=2, weight_decay=0.1, learning_rate=None
    )
    text = dump_config(config)
    again = FastSlowConfig(**yaml.safe_load(text))
    assert dump_config(again) == text
    assert [getattr(again, name) for name in own_fields()] == [getattr(config, name) for name in own_fields()]
    assert (again.weight_decay, again.seed) == (0.1, 4)
    assert again.gradient_accumulation_steps == config.gradient_accumulation_steps


def test_the_written_config_shows_all_of_ours_and_no_secret(tmp_path) -> None:
    config = FastSlowConfig(output_dir=str(tmp_path), bf16=False, hub_token="hf_secret")
    text = dump_config(config)
    shown = yaml.safe_load(text)
    assert set(own_fields()) <= set(shown)
    assert shown["seed"] == 42, "also where nobody chose it"
    assert "hf_" not in text
    assert "weight_decay" not in shown, "an inherited setting at its default is noise"


def test_what_the_libraries_derive_is_not_written_and_what_was_given_or_changed_is() -> None:
    assert set(yaml.safe_load(dump_config(FastSlowConfig(task="t", bf16=False)))) == {*own_fields(), "seed"}
    given = FastSlowConfig(task="t", bf16=False, pad_to_multiple_of=8, max_grad_norm=2.0)
    given.weight_decay = 0.5
    shown = yaml.safe_load(dump_config(given))
    assert (shown["pad_to_multiple_of"], shown["max_grad_norm"], shown["weight_decay"]) == (8, 2.0, 0.5)
