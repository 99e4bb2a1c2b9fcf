"""Processes of one run share work, gather it in order, and raise together what one of them met."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch.distributed as dist

from fastslow.core import processes
from fastslow.core.errors import BadInput
from tests.support.nursery import Nursery


def test_one_process_does_all_the_work_and_gathers_its_own() -> None:
    assert (processes.count(), processes.rank(), processes.is_main()) == (1, 0, True)
    assert list(range(7))[processes.share_of(7)] == list(range(7))
    assert processes.gather([1, 2]) == [1, 2]
    processes.wait()


def test_one_process_raises_what_it_was_asked_to_make() -> None:
    def fail() -> int:
        raise BadInput("no")

    with pytest.raises(BadInput, match="no"):
        processes.from_main(fail)


class Odd(Exception):
    """What cannot be sent: it holds a function."""

    def __init__(self, f: Callable[[], int]):
        super().__init__("odd")
        self.f = f


def agree() -> None:
    """Write down what this process gathered, was given, and was told of failures."""

    def main_only() -> str:
        assert processes.is_main(), "another process was asked"
        return "from main"

    def fail() -> str:
        raise BadInput("what, where, how")

    def fail_oddly() -> str:
        raise Odd(lambda: 0)

    dist.init_process_group("gloo")
    share = list("abcdefg")[processes.share_of(7)]
    seen: dict[str, object] = {"gathered": processes.gather(share), "main": processes.from_main(main_only)}
    for name, make in (("bad", fail), ("odd", fail_oddly)):
        try:
            processes.from_main(make)
        except Exception as error:
            seen[name] = [type(error).__name__, str(error)]
    processes.wait()
    Path(f"{processes.rank()}.json").write_text(json.dumps(seen))
    dist.destroy_process_group()


@pytest.mark.processes
def test_three_processes_agree(tmp_path: Path) -> None:
    with Nursery(tmp_path) as nursery:
        codes = nursery.call("tests.core.test_processes", "agree", ranks=3)
    assert codes == [0, 0, 0], nursery.log()[-3000:]
    for rank in (1, 2):  # a file each: lines on one stdout can run into one another
        seen = json.loads((tmp_path / f"{rank}.json").read_text())
        assert seen["gathered"] == list("abcdefg"), "shares were joined in another order"
        assert seen["main"] == "from main"
        assert seen["bad"] == ["BadInput", "what, where, how"]
        assert seen["odd"] == ["FastSlowError", "Odd: odd"]
