"""GPUs by name and number."""

from __future__ import annotations

import pytest

from fastslow.core.errors import BadInput
from fastslow.costs.machines import GPUS, parse_machines


@pytest.mark.parametrize(
    ("text", "nodes", "each", "count"), [("H100", 1, 1, 1), ("8xH100", 1, 8, 8), ("2x8xh200", 2, 8, 16)]
)
def test_machines_are_read_as_nodes_gpus_and_kind(text: str, nodes: int, each: int, count: int) -> None:
    machines = parse_machines(text)
    assert (machines.nodes, machines.each, machines.count) == (nodes, each, count)
    assert parse_machines(str(machines)) == machines


@pytest.mark.parametrize("text", ["", "8", "8x", "0xH100", "8xH101", "H100x8", "8 x H100", "1x2x3xH100", "8xH100\n8"])
def test_what_names_no_machines_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(BadInput, match="--gpus") as caught:
        parse_machines(text)
    assert "\n" not in str(caught.value).replace(text, "")


def test_what_is_measured_is_below_the_data_sheet() -> None:
    for gpu in GPUS.values():
        assert gpu.matmul < gpu.flops
        assert gpu.measured_bandwidth is None or gpu.measured_bandwidth < gpu.bandwidth
