"""What several modules of tests/slow look at, made once."""

from typing import Any

import pytest
import torch

from tests.support.nursery import Nursery
from tests.support.tiny import save_tiny


@pytest.fixture(scope="session")
def on_two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What tests/support/on_two.py saw in a pair of processes, which takes seconds to start."""
    folder = tmp_path_factory.mktemp("on_two")
    save_tiny(folder / "model")
    with Nursery(folder) as nursery:
        codes = nursery.call("tests.support.on_two", "main", str(folder))
    assert codes == [0, 0], nursery.log()[-3000:]
    return torch.load(folder / "two.pt")
