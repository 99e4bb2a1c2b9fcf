"""Prices: those of the package, and a user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastslow.core.errors import BadInput
from fastslow.costs.machines import GPUS
from fastslow.costs.prices import default_prices, read_prices
from fastslow.costs.work import Range


def test_every_gpu_has_a_price_with_a_date_and_a_source() -> None:
    prices = default_prices()
    assert set(prices.gpus) == set(GPUS)
    assert set(prices.sources) == set(GPUS)
    assert all("2026" in source and "pricing" in source for source in prices.sources.values())


def test_prices_of_a_file_take_the_place_of_the_packages(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("source: our contract\ngpus: {h100: 2, A100: [1, 1.5, 2]}\nstorage: 0.07\n")
    prices = read_prices(str(file))
    assert prices.gpus["H100"] == Range(2, 2, 2)
    assert prices.gpus["A100"] == Range(1, 1.5, 2)
    assert prices.gpus["B200"] == default_prices().gpus["B200"]
    assert prices.storage == Range(0.07, 0.07, 0.07)
    assert [prices.sources[name] for name in ("H100", "A100", "storage")] == ["our contract"] * 3
    assert prices.sources["B200"] == default_prices().sources["B200"] != "our contract"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("- 1", "must hold"),
        ("gpus: {H101: 2}", "H101"),
        ("gpus: {H100: cheap}", "cheap"),
        ("gpus: {H100: [1, 2]}", "three"),
        ("gpus: {H100: [3, 2, 1]}", "rise"),
        ("gpus: {H100: -1}", "-1"),
        ("gpus: {H100: .nan}", "nan"),
        ("gpus: {H100: .inf}", "inf"),
        ("gpus: {H100: 1e308}", "at most 1,000,000"),
        (f"gpus: {{H100: {'9' * 401}}}", "at most 1,000,000"),
        (f"gpus: {{H100: {'9' * 5000}}}", "YAML"),
        ("gpu: {}", "gpu"),
        ("gpus: {H100: true}", "True"),
        ("gpus: [2]", "mapping"),
        ("a: [", "YAML"),
        ("", "must hold"),
    ],
)
def test_a_file_that_holds_no_prices_is_refused_in_one_line(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    with pytest.raises(BadInput, match=named) as caught:
        read_prices(str(file))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.yaml"):
        read_prices(str(tmp_path / "nowhere.yaml"))
