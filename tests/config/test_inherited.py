"""Every number that a user can set has bounds, or a reason to have none."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

import pytest

from fastslow.config.checks import UNSUPPORTED
from fastslow.config.groups import SPECS
from fastslow.config.inherited import BOUNDS, UNBOUNDED, WITHOUT_EFFECT
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.core.settings import Spec, kinds_of

HINTS = get_type_hints(FastSlowConfig)
NUMBERS = [f.name for f in fields(FastSlowConfig) if {int, float} & set(kinds_of(HINTS[f.name]))]
BOUNDED = {**{name: spec for name, spec in SPECS.items() if name in NUMBERS}, **BOUNDS}
ANY = {*UNBOUNDED, "data_seed"}


def config(**settings: Any) -> FastSlowConfig:
    return FastSlowConfig(task="reasoning_gym:products", bf16=False, **settings)


def test_every_number_has_bounds_or_a_reason() -> None:
    free = {n for n in NUMBERS if not BOUNDED.get(n, Spec()).bounds() and not n.startswith(WITHOUT_EFFECT)}
    assert free - set(UNSUPPORTED) == ANY


def test_no_number_is_bounded_in_two_places() -> None:
    assert not set(BOUNDS) & set(SPECS)
    assert set(BOUNDS) <= set(NUMBERS)


@pytest.mark.parametrize("name", [name for name in BOUNDED if name in NUMBERS and BOUNDED[name].bounds()])
def test_a_value_out_of_bounds_is_refused_by_name(name: str) -> None:
    spec = BOUNDED[name]
    outside = [spec.at_least - 1] if spec.at_least is not None else []
    outside += [spec.above] if spec.above is not None else []
    outside += [spec.at_most + 1] if spec.at_most is not None else []
    whole = float not in kinds_of(HINTS[name])
    for value in outside:
        with pytest.raises(BadInput, match=rf"^{name} (must|is)"):
            config(**{name: int(value) if whole else float(value)})


@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if spec.whole])
def test_a_part_of_a_step_is_refused(name: str) -> None:
    """transformers takes a number of steps below 1 for a share of the run."""
    with pytest.raises(BadInput, match=rf"^{name} must be "):
        config(**{name: 0.5})
    with pytest.raises(BadInput, match=rf"^{name} must be a whole number, got 2.5"):
        config(**{name: 2.5})
    assert getattr(config(**{name: 2.0}), name) == 2


@pytest.mark.parametrize(("name", "value"), [("temperature", 1e-300), ("eval_temperature", 1e-300),
                                             ("eval_temperature", 0.005), ("repetition_penalty", 1e-300),
                                             ("sapo_temperature_pos", 1e-300), ("learning_rate", 1e5)])  # fmt: skip
def test_what_overflows_is_refused_by_its_own_name(name: str, value: float) -> None:
    with pytest.raises(BadInput, match=rf"^{name} must be"):
        config(**{name: value})


def test_greedy_evaluation_and_the_least_temperature_are_taken() -> None:
    assert config(eval_temperature=0.0).eval_temperature == 0.0
    assert config(eval_temperature=0.01, temperature=0.01).temperature == 0.01


def test_a_least_coefficient_above_the_most_is_refused() -> None:
    with pytest.raises(BadInput, match=r"entropy_coef_min \(2.0\) must not be above entropy_coef_max \(1.0\)"):
        config(entropy_coef_min=2.0)
