"""Ordinary code works in the sandbox, and a failure says what went wrong."""

from __future__ import annotations

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from fastslow.core.errors import BadInput
from fastslow.sandbox import Limits, Result, isolation, run_python

from .leftovers import sandboxes_of

pytestmark = pytest.mark.processes

IMPORTS = """
import array, asyncio, base64, bisect, bz2, calendar, cmath, collections, copy, csv, dataclasses, datetime, decimal
import enum, fractions, functools, hashlib, heapq, io, itertools, json, lzma, math, operator, os, pathlib, pickle
import queue, random, re, sqlite3, statistics, string, struct, sys, tempfile, textwrap, threading, time, typing
import unicodedata, uuid, xml.etree.ElementTree, zlib, zoneinfo
"""


def run(body: str, arguments=None, before: str = "", **limits) -> Result:
    source = before + "\ndef main(*args, **named):\n" + "".join(f"    {line}\n" for line in body.strip().splitlines())
    return run_python(source, "main", arguments, limits=Limits(**limits))


def test_nested_json_comes_back_as_it_was():
    value = {"a": [1, 2.5, None, True, {"ß": "漢字 \n\0"}], "": {}, "big": 10**300, "e": 1e-300, "empty": []}
    assert run("return args[0]", [value]).value == value


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (None, [[], {}]),
        ([1, [2]], [[1, [2]], {}]),
        ({"x": 1}, [[], {"x": 1}]),
        ("text", [["text"], {}]),
        (0, [[0], {}]),
        (False, [[False], {}]),
    ],
)
def test_an_array_is_positional_an_object_named_and_anything_else_one_argument(arguments, seen):
    assert run("return [args, named]", arguments).value == seen


def test_none_is_a_value():
    result = run("return None")
    assert result.ok
    assert result.value is None


def test_the_standard_library_can_be_imported():
    result = run("return hashlib.sha3_256(b'x').hexdigest()[:4] + str(decimal.Decimal(1) / 8)", before=IMPORTS)
    assert result.value == "741e0.125", result


def test_an_event_loop_threads_temporary_files_and_dev_null_work():
    result = run(
        """
with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as null:
    pathlib.Path(folder, "a").write_text("b")
    print("dropped", file=null)
    copied = pathlib.Path(folder, "a").read_text()
async def later():
    await asyncio.sleep(0)
    return await asyncio.to_thread(lambda: "thread")
return [copied, asyncio.run(later())]
""",
        before=IMPORTS,
    )
    assert result.value == ["b", "thread"], result


@pytest.mark.parametrize("threads", [0, 3, 8])
def test_as_many_threads_as_allowed_run_and_no_more(threads):
    body = """
stop = threading.Event()
try:
    for _ in range(100):
        threading.Thread(target=stop.wait, args=(5,), daemon=True).start()
except RuntimeError:
    return threading.active_count() - 1
"""
    assert run(body, before="import threading", threads=threads).value == threads


def test_dataclasses_and_pickles_find_their_module():
    before = (
        "from __future__ import annotations\nimport dataclasses, pickle\n@dataclasses.dataclass\nclass P:\n    x: int"
    )
    assert run("return pickle.loads(pickle.dumps(P(3))).x", before=before).value == 3


def test_a_package_is_there_if_asked_for():
    source = "def main():\n    import jaxtyping\n    return 1"
    assert "ModuleNotFoundError" in run_python(source, "main").message
    source = "def main():\n    import numpy\n    return int(numpy.arange(4) @ numpy.arange(4))"
    result = run_python(source, "main", packages=["numpy"])
    assert result.value == 14, result


def test_a_set_is_walked_in_the_same_order_every_time():
    seen = {tuple(run("return list({'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'})").value) for _ in range(3)}  # type: ignore
    assert len(seen) == 1


def test_an_exception_comes_with_its_line():
    result = run("x = 1\nraise ValueError('no such hop')")
    assert (result.kind, result.message) == ("error", "ValueError: no such hop (line 4)")


def test_code_that_does_not_compile_or_lacks_the_function_is_an_error():
    assert "SyntaxError" in run_python("def main(:", "main").message
    assert run_python("x = 1", "main").message.startswith("NameError: the code defines no function 'main'")
    assert run_python("main = 3", "main").kind == "error"


def test_the_main_block_is_not_run():
    assert run_python("def main(): return 1\nif __name__ == '__main__': input()", "main").value == 1


def test_what_cannot_be_sent_is_refused_before_anything_runs():
    for arguments in (float("nan"), "\ud800", "x" * 5_000_000, object()):
        assert run_python("def main(x): return 1", "main", arguments).kind == "refused"  # type: ignore[arg-type]
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert run_python("def main(x): return 1", "main", deep).kind == "refused"


def test_the_users_own_mistakes_are_bad_input():
    with pytest.raises(BadInput, match="name of a function"):
        run_python("", "os.system('x')")
    with pytest.raises(BadInput, match="not installed"):
        run_python("", "main", packages=["no_such_package"])
    for wrong in ({"wall_s": 0}, {"memory": 1}, {"cpu_s": float("inf")}, {"threads": -1}):
        with pytest.raises(BadInput, match=next(iter(wrong))):
            Limits(**cast(Any, wrong))


def test_runs_share_nothing_even_at_the_same_time():
    body = """
import os, time
open('/tmp/mine', 'x').close()
time.sleep(0.2)
return os.listdir('/tmp') + [args[0]]
"""
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda number: run(body, [number]), range(3)))
    assert [result.value for result in results] == [["mine", 0], ["mine", 1], ["mine", 2]]


def test_a_run_leaves_no_descriptor_and_no_child_behind():
    run("return 1")
    before = set(os.listdir("/proc/self/fd"))
    run("return 1")
    assert set(os.listdir("/proc/self/fd")) == before
    assert not sandboxes_of(os.getpid())


def test_isolation_is_told_in_one_line():
    said = isolation()
    assert "namespaces" in said
    assert "seccomp" in said
    assert "\n" not in said


def test_what_forging_can_and_cannot_mean():
    # Whoever writes the function decides what it returns. Writing that on the pipe by hand gains nothing over it.
    body = """
import os
for number in range(3, 64):
    try: os.write(number, b'{"value": 42}')
    except OSError: pass
os._exit(0)
"""
    assert run(body).value == 42


def test_start_up_cost(capsys):
    times = []
    for _ in range(7):
        started = time.perf_counter()
        assert run("return 1").value == 1
        times.append(1000 * (time.perf_counter() - started))
    with capsys.disabled():
        print(f"\n[sandbox start-up: median {statistics.median(times):.0f} ms, best {min(times):.0f} ms]")
