"""The settings as a user meets them: every declared flag is frozen, explained, and as TRL has it where it is TRL's."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from trl import GRPOConfig

from fastslow.config.groups import GROUPS, SPECS
from fastslow.config.parsing import parse_config, train_help
from fastslow.config.settings import FastSlowConfig, bundled_fields, own_fields
from fastslow.core.settings import HelpText, specs_of
from tests.support.recipes import readable

FROZEN = Path(__file__).with_name("surface.txt")
DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"
FIELDS = {f.name: f for f in fields(FastSlowConfig)}


def surface() -> str:
    """A line for every declared setting, group by group: name, type, default, unit and bounds, choices."""
    hints, lines = get_type_hints(FastSlowConfig), []
    for group in GROUPS:
        lines.append(f"# {group.title}")
        for name, spec in specs_of(group).items():
            kind = hints[name].__name__ if isinstance(hints[name], type) else str(hints[name])
            notes = [spec.unit, spec.bounds(), " | ".join(spec.choices or ()), "TRL's" if spec.inherited else ""]
            allowed = "; ".join(filter(None, notes))
            lines.append(f"{name}: {kind} = {FIELDS[name].default!r}{f'  ({allowed})' if allowed else ''}")
    return "\n".join(lines) + "\n"


def test_the_settings_are_those_of_surface_txt_and_a_new_one_is_a_decision() -> None:
    old, new = FROZEN.read_text(encoding="utf-8").splitlines(), surface().splitlines()
    gone, added = [line for line in old if line not in new], [line for line in new if line not in old]
    assert old == new, (
        "the settings that users meet have changed.\n"
        + "".join(f"  - {line}\n" for line in gone)
        + "".join(f"  + {line}\n" for line in added)
        + ("" if gone or added else "  only their order, which is that of the help and of config.yaml\n")
        + "A new knob is a decision: is there a default that serves everyone? If the change is meant, say it in "
        "docs/configuration.md and CHANGELOG.md, and freeze it:\n"
        "  python -c 'from tests.config.test_surface import *; FROZEN.write_text(surface())'"
    )


def test_every_setting_is_declared_once_and_has_a_help_line() -> None:
    declared = [name for group in GROUPS for name in specs_of(group)]
    assert len(declared) == len(set(declared))
    texts = {name: FIELDS[name].metadata["help"] for name in declared}
    assert not [name for name, text in texts.items() if not isinstance(text, HelpText) or len(text) < 10]


@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if spec.choices])
def test_the_help_names_every_choice(name: str) -> None:
    text = FIELDS[name].metadata["help"]
    assert not [choice for choice in SPECS[name].choices or () if choice not in text]


def test_the_short_help_has_every_declared_setting_under_its_group() -> None:
    text = train_help(everything=False)
    places = [text.index(f"\n{group.title}:\n") for group in GROUPS]
    assert places == sorted(places)
    assert not [name for name in SPECS if f"  --{name} (default: " not in text]
    places = [text.index(f"  --{name} (default: ") for name in own_fields()]
    assert places == sorted(places)


def test_the_long_help_has_them_all_and_trls_as_well() -> None:
    text = train_help(everything=True)
    assert not [name for name in [*SPECS, "weight_decay", "vllm_mode"] if f"--{name}" not in text]


def test_the_page_on_configuration_names_every_declared_setting() -> None:
    page = DOCS.read_text(encoding="utf-8")
    assert not [name for name in SPECS if f"`{name}`" not in page]


def kinds(hint: Any) -> set[Any]:
    return set(get_args(hint)) or {hint}


@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if spec.inherited])
def test_what_is_said_to_be_trls_has_trls_type_and_default(name: str) -> None:
    theirs = {f.name: f for f in fields(GRPOConfig)}[name]
    assert FIELDS[name].default == theirs.default
    assert kinds(get_type_hints(FastSlowConfig)[name]) <= kinds(get_type_hints(GRPOConfig)[name])


def test_what_evaluates_a_bundle_or_begins_from_it_is_kept_in_it() -> None:
    assert set(bundled_fields()) == {
        "mode", "seed", "model", "task", "tasks", "labels", "clusters", "embedder", "train_size", "validation_size",
        "test_size", "data_seed", "max_completion_length", "chat_template_kwargs", "eval_samples", "eval_temperature",
        "eval_top_p", "template_date", "reasoning", "router", "max_turns",
    }  # fmt: skip


RECIPES = sorted(
    path for path in (Path(__file__).parents[2] / "recipes").rglob("*.yaml") if path.parent.name != "accelerate"
)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_read(recipe: Path, tmp_path: Path) -> None:
    config = parse_config(["--config", str(readable(recipe, tmp_path))])
    assert config.task or config.tasks
