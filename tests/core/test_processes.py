"""Processes of one run share work, gather it in order, and raise together what one of them met."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch.distributed as dist

from fastslow.core import processes
from fastslow.core.errors import BadInput
from tests.support.nursery import ROOT, Nursery


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


def main() -> None:
    """What the two processes do that accelerate starts below."""
    dist.init_process_group("gloo")
    Path(f"{processes.rank()}.json").write_text(json.dumps([processes.count(), processes.gather([processes.rank()])]))
    dist.destroy_process_group()


@pytest.mark.processes
def test_two_processes_that_accelerate_launches_are_those_of_one_run(tmp_path: Path) -> None:
    """By the command of the pages. Other tests fork the processes of a run, which is cheaper."""
    how = (
        "--multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no --main_process_port 0"
    )
    launch = [sys.executable, "-m", "accelerate.commands.launch", *how.split(), "-m", "tests.core.test_processes"]
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(launch, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)] == [[2, [0, 1]]] * 2


if __name__ == "__main__":
    main()
