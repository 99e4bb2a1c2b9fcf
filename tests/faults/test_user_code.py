"""No part of a user's, whatever it raises, returns, prints or changes, ends or changes a run without a word."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput, EndpointError, FastSlowError
from fastslow.core.registry import importable, load_dotted
from fastslow.core.types import Example, GroupEvidence, Route
from fastslow.fast.proposers import make_proposer, proposal_of, usage_of
from fastslow.fast.proposers.base import USAGE
from fastslow.record.display import SilentDisplay
from fastslow.routers import RouteDecider, make_router
from fastslow.run.train import train
from fastslow.run.trainer import FastSlowTrainer
from fastslow.streams.schedules import CheckedSchedule, Setting, make_schedule
from fastslow.tasks.resolve import resolve_task
from fastslow.topics.embedders import CheckedEmbedder, make_embedder
from tests.fast.proposers.helpers import inputs, parent, request, trace
from tests.support.runs import tiny_settings
from tests.support.tiny import tiny_model_and_tokenizer

ROOT = Path(__file__).parents[2]


def ends(error: BaseException) -> Callable[..., Any]:
    def end(*args: Any, **kwargs: Any) -> Any:
        raise error

    return end


ENDS = [SystemExit(0), GeneratorExit(), asyncio.CancelledError(), StopIteration(), ZeroDivisionError("z")]
BY_KIND = [type(error).__name__ for error in ENDS]
EVIDENCE = GroupEvidence(0, "e1", "t", ("c", "c"), (0.0, 1.0), (3, 4), (1.0, 2.0))
SETTING = Setting(2, 1, 2, 0)
POOLS = [
    [Example(f"{t}{i}", f"t{t}", "train", ({"role": "user", "content": f"{t} {i}"},)) for i in range(3)] for t in "ab"
]


def router(**changes: Any) -> Any:
    parts = {"name": "own", "route": lambda e: Route.BOTH, "state_dict": dict, "load_state_dict": lambda s: None}
    return SimpleNamespace(**{**parts, **changes})


def schedule(**changes: Any) -> Any:
    return SimpleNamespace(**{"steps": 2, "place": lambda step, slot: (0, 0), "pools": lambda tasks: tasks, **changes})


def later(end: Callable[..., Any]) -> Callable[[int, int], tuple[int, int]]:
    """A place that is asked for before the run is fine; the next one is not."""
    return lambda step, slot: end() if slot else (0, 0)


def embedder(embed: Any) -> CheckedEmbedder:
    own: Any = SimpleNamespace(name="own", embed=embed)
    return CheckedEmbedder(own)


def proposer(propose: Any) -> Any:
    return SimpleNamespace(name="own", propose=propose)


def asked() -> Any:
    return request(
        parent(("q", "a")), component="instruction", traces=[trace("q1", "a", 0.5)], experience=[trace("q2", "b", 1.0)]
    )


CALLS: dict[str, tuple[type[FastSlowError], Callable[[Callable[..., Any]], Any]]] = {
    # which call of a user's part ends in this way: what comes of it, and the call
    "router, route": (FastSlowError, lambda end: RouteDecider(router(route=end)).decide([EVIDENCE])),
    "router, explain": (FastSlowError, lambda end: RouteDecider(router(explain=end)).decide([EVIDENCE])),
    "router, observe": (FastSlowError, lambda end: RouteDecider(router(observe=end)).decide([EVIDENCE])),
    "router, state": (FastSlowError, lambda end: RouteDecider(router(state_dict=end)).state_dict()),
    "router, load": (
        FastSlowError,
        lambda end: RouteDecider(router(load_state_dict=end)).load_state_dict({"rule": {}, "recent": []}),
    ),
    "schedule, place": (
        FastSlowError, lambda end: CheckedSchedule("own", schedule(place=later(end)), SETTING).place(0, 1)
    ),
    "schedule, pools": (BadInput, lambda end: CheckedSchedule("own", schedule(pools=end), SETTING).pools(POOLS)),
    "embedder, embed": (FastSlowError, lambda end: embedder(end).embed(["a"])),
    "proposer, propose": (FastSlowError, lambda end: proposal_of(proposer(end), asked())),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("error", ENDS, ids=BY_KIND)
def test_a_part_that_ends_python_in_a_call_ends_the_run_in_one_line_that_names_it(call: str, error: Any) -> None:
    kind, calls = CALLS[call]
    with pytest.raises(kind, match="own") as caught:
        calls(ends(error))
    assert type(error).__name__ in str(caught.value)
    assert "\n" not in str(caught.value)


MAKERS: dict[str, Callable[[str], Any]] = {
    "router": lambda path: make_router(path, seed=0),
    "stream": lambda path: make_schedule(path, SETTING),
    "embedder": make_embedder,
    "proposer": lambda path: make_proposer(path, inputs()),
    "task": resolve_task,
}


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    made: Any = types.ModuleType("own_parts")
    monkeypatch.setitem(sys.modules, "own_parts", made)
    monkeypatch.setattr("fastslow.tasks.resolve.importable", lambda name: True)
    return made


@pytest.mark.parametrize("part", MAKERS)
@pytest.mark.parametrize("error", ENDS, ids=BY_KIND)
def test_a_factory_that_ends_python_is_bad_input(part: str, error: Any, module: Any) -> None:
    def factory() -> Any:
        raise error

    module.make = factory if part == "task" else ends(error)
    with pytest.raises(BadInput, match=f"{part} 'own_parts.make'") as caught:
        MAKERS[part]("own_parts.make")
    assert type(error).__name__ in str(caught.value)


@pytest.mark.parametrize("part", MAKERS)
@pytest.mark.parametrize("made", [None, 3, "text", SimpleNamespace(name=3)], ids=repr)
def test_a_factory_that_makes_something_else_is_bad_input(part: str, made: Any, module: Any) -> None:
    module.make = (lambda: made) if part == "task" else lambda *args, **kwargs: made
    with pytest.raises(BadInput, match=f"{part} 'own_parts.make'"):
        MAKERS[part]("own_parts.make")


@pytest.mark.parametrize(
    "line", ["raise SystemExit(0)", "import sys; sys.exit()", "raise GeneratorExit", "1/0", "x = ("]
)
def test_a_module_that_ends_python_on_import_is_bad_input(line: str, tmp_path: Path, monkeypatch) -> None:
    name = f"ends_{abs(hash(line))}"
    (tmp_path / f"{name}.py").write_text(f"{line}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BadInput, match=f"importing '{name}' failed"):
        load_dotted(f"{name}:make", "scorer")
    (tmp_path / f"p{name}").mkdir()
    (tmp_path / f"p{name}/__init__.py").write_text(f"{line}\n")
    assert not importable(f"p{name}.module")


def test_a_module_whose_attributes_end_python_is_bad_input(module: Any) -> None:
    module.__getattr__ = ends(SystemExit(0))
    with pytest.raises(BadInput, match="asking 'own_parts' for 'score' raised SystemExit: 0"):
        load_dotted("own_parts:score", "scorer")


@pytest.mark.parametrize("spec", ["builtins:dict", "builtins:print", "builtins:type"])
def test_a_callable_that_is_no_factory_of_tasks_is_bad_input(spec: str) -> None:
    with pytest.raises(BadInput):
        resolve_task(spec)


@pytest.mark.parametrize(
    "answer", [None, "text", ["a"], {"instruction": 3}, {3: "x"}, {"instruction": None}, 3, (("a", "b"),)], ids=repr
)
def test_a_proposal_that_is_no_dict_of_texts_ends_the_run_in_one_line(answer: Any) -> None:
    with pytest.raises(FastSlowError, match=r"proposer 'own' returned .* it must return a dict"):
        proposal_of(proposer(lambda request: answer), asked())


def test_an_endpoint_that_cannot_be_reached_is_still_told_from_a_bug() -> None:
    with pytest.raises(EndpointError):
        proposal_of(proposer(ends(EndpointError("down"))), asked())


@pytest.mark.parametrize(
    "usage", [None, 3, SimpleNamespace(calls=2), SimpleNamespace(calls="2", failures=None)], ids=repr
)
def test_a_reflection_lm_of_the_users_need_not_count(usage: Any) -> None:
    own: Any = SimpleNamespace(name="own", lm=SimpleNamespace(usage=usage))
    calls = getattr(usage, "calls", 0)
    assert usage_of(own) == dict.fromkeys(USAGE, 0) | {"calls": calls if isinstance(calls, int) else 0}


# What parts are given


def test_a_proposer_that_changes_its_request_changes_nothing_of_the_run() -> None:
    given = asked()

    def spoil(request: Any) -> dict[str, str]:
        request.parent.components["instruction"] = "spoilt"
        request.traces[0].example.messages[0]["content"] = "spoilt"
        request.traces[0].verdict.info["spoilt"] = True
        request.experience[0].example.payload["spoilt"] = True
        for part in (request.traces, request.experience, request.demonstrations):
            part.clear()
        return {"instruction": "new"}

    assert proposal_of(proposer(spoil), given) == {"instruction": "new"}
    assert given.parent == parent(("q", "a"))
    assert list(given.traces) == [trace("q1", "a", 0.5)]
    assert list(given.experience) == [trace("q2", "b", 1.0)]


def test_a_proposal_that_is_changed_later_changes_nothing() -> None:
    answer = {"instruction": "new"}
    proposal = proposal_of(proposer(lambda request: answer), asked())
    answer["instruction"] = "spoilt"
    assert proposal == {"instruction": "new"}


def test_a_schedule_that_spoils_the_pools_it_is_given_spoils_copies() -> None:
    def spoil(tasks: Any) -> Any:
        kept = [list(task) for task in tasks]
        tasks[0][0].messages[0]["content"] = "spoilt"
        for task in tasks:
            task.clear()
        tasks.clear()
        return kept

    pools = [list(pool) for pool in POOLS]
    CheckedSchedule("own", schedule(pools=spoil), SETTING).pools(pools)
    assert pools == POOLS
    assert POOLS[0][0].messages[0]["content"] == "a 0"


def test_the_state_of_a_router_in_a_checkpoint_is_not_the_state_that_goes_on_changing() -> None:
    state = {"counts": [1]}
    loaded: list[Any] = []
    decider = RouteDecider(router(state_dict=lambda: state, load_state_dict=loaded.append, explain=lambda e: state))
    saved, (decision,) = decider.state_dict(), decider.decide([EVIDENCE])
    decider.load_state_dict(saved)
    loaded[0]["counts"].append(3)
    state["counts"].append(2)
    assert saved["rule"] == {"counts": [1]}
    assert decision.why == {"counts": [1]}


def test_an_embedder_may_use_its_array_again_and_change_its_list() -> None:
    buffer = np.zeros((1, 2), np.float32)

    def embed(texts: Any) -> Any:
        buffer[:] = np.eye(2)[int(texts.pop())]
        return buffer

    own, texts = embedder(embed), ["0"]
    first, _ = own.embed(texts), own.embed(["1"])
    assert first.tolist() == [[1, 0]]
    assert texts == ["0"]


# Whole runs


def settings(folder: Path, **overrides: Any) -> FastSlowConfig:
    usual = {"save_bundle": False, "save_strategy": "no", "mode": "rl", "kl_examples": 0}
    return FastSlowConfig(**tiny_settings(folder, **{**usual, **overrides}))


def scored_by(folder: Path, source: str) -> str:
    """The name of a task whose scorer is the function `score` of this source."""
    name = f"scorer_{abs(hash((str(folder), source)))}"
    (folder / f"{name}.py").write_text(source)
    lines = [json.dumps({"question": f"What is {i} + {i}?", "answer": str(2 * i)}) for i in range(40)]
    (folder / "own.jsonl").write_text("\n".join(lines))
    return f"jsonl:{folder / 'own.jsonl'}?scorer={name}:score"


def test_a_scorer_that_reaches_exit_now_and_then_costs_those_rollouts_only(tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    source = (
        "import sys\n\ndef score(completion, row):\n    if len(completion) % 2:\n        sys.exit(0)\n    return 0.5\n"
    )
    summary = train(settings(tmp_path, task=scored_by(tmp_path, source)), display=SilentDisplay())
    assert summary["status"] == "done"
    rewards = [
        r for line in (tmp_path / "run/routes.jsonl").read_text().splitlines() for r in json.loads(line)["rewards"]
    ]
    assert set(rewards) == {None, 0.5}
    assert caplog.text.count("the scorer raised SystemExit: 0") == 1


def test_a_scorer_that_always_exits_ends_the_run_with_a_reason(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    task = scored_by(tmp_path, "def score(completion, row):\n    raise SystemExit(0)\n")
    with pytest.raises(FastSlowError, match="the scorer fails"):
        train(settings(tmp_path, task=task), display=SilentDisplay())


DRAWS = """
import random

import numpy
import torch


def score(completion, row):
    {draw}
    return (sum(map(ord, completion)) % 5) / 4
"""


def weights_of_run(folder: Path, draw: str, monkeypatch) -> dict[str, torch.Tensor]:
    """The weights after two steps with dropout, where the scorer runs `draw`."""
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    model, tokenizer = tiny_model_and_tokenizer()
    model.config.attention_dropout = 0.5
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    trainer = FastSlowTrainer(settings(folder, task=scored_by(folder, DRAWS.format(draw=draw)), packing="off"))
    trainer.train()
    return {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}


def test_a_scorer_that_draws_from_or_seeds_global_random_states_does_not_change_dropout(tmp_path, monkeypatch) -> None:
    plain = weights_of_run(tmp_path / "plain", "pass", monkeypatch)
    for name, draw in (
        ("draws", "torch.rand(3), random.random(), numpy.random.rand()"),
        ("seeds", "torch.manual_seed(1)"),
    ):
        other = weights_of_run(tmp_path / name, draw, monkeypatch)
        assert all(torch.equal(plain[n], other[n]) for n in plain), name


NOISY = """
import os
import threading

print("imported")


def score(completion, row):
    print("scored")
    os.chdir("/")
    os.system("echo from a child")
    if not any(t.name == "stubborn" for t in threading.enumerate()):
        threading.Thread(target=threading.Event().wait, name="stubborn").start()
    return (sum(map(ord, completion)) % 5) / 4
"""


@pytest.mark.processes
def test_eval_prints_nothing_but_json_and_ends_though_the_scorer_prints_and_leaves_a_thread(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    quiet = "def score(completion, row):\n    return (sum(map(ord, completion)) % 5) / 4\n"
    task = scored_by(tmp_path, quiet)
    train(settings(tmp_path, task=task, save_bundle=True), display=SilentDisplay())
    (tmp_path / f"{task.partition('scorer=')[2].partition(':')[0]}.py").write_text(NOISY)
    (tmp_path / "patient.py").write_text(
        "import sys\n"
        "from fastslow.cli import main\n"
        "from fastslow.core import foreign\n"
        "foreign.end_despite_leftovers.__kwdefaults__['grace'] = 0.1\n"
        "sys.argv = ['fastslow', *sys.argv[1:]]\n"
        "main.script()\n"
    )
    done = subprocess.run(
        [sys.executable, "patient.py", "eval", "run", "--trust_task", "--json", "-", "--limit", "2"], cwd=tmp_path,
        capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}:{tmp_path}", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {row["weights"] for row in json.loads(done.stdout)} == {"base", "trained"}
    for said in ("imported", "scored", "from a child", "changed the working folder", "stubborn still ran"):
        assert said in done.stderr, said
