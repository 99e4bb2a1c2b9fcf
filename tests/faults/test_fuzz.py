"""Whatever stands in a file or a reply, it is taken, or refused by an exception of ours."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastslow.config.settings import FastSlowConfig, own_fields
from fastslow.contexts.context import load_examples
from fastslow.contexts.population import Population
from fastslow.core.errors import BadInput, EndpointError, FastSlowError
from fastslow.fast.proposers import ReflectionProposer
from fastslow.fast.reflection.endpoint import OpenAIReflectionLM
from fastslow.fast.reflection.journal import JOURNAL, Journal
from fastslow.files.jsonl import dumps
from fastslow.files.manifest import Damaged, seal
from fastslow.files.run_directory import RunDirectory
from fastslow.files.sealed import FORMAT, Checkpoints, verify
from fastslow.files.snapshot import read as read_state
from fastslow.run.resume import read_config
from fastslow.tasks.resolve import resolve_task
from tests.fast.proposers.helpers import parent, request, trace
from tests.support.openai_server import OpenAIServer, Reply

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
SHORT: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}

pytestmark = pytest.mark.row(name="fuzz")
runs: Counter[str] = Counter()


def many(few: int) -> Any:
    """`few` examples in `make test`; as many as FUZZ says in `make test-faults`."""

    def decorate(test: Any) -> Any:
        inner = test.hypothesis.inner_test

        def counted(*args: Any, **kwargs: Any) -> None:
            runs[test.__name__] += 1
            inner(*args, **kwargs)

        test.hypothesis.inner_test = counted
        return settings(max_examples=int(os.environ.get("FUZZ", few)), **SHORT)(test)

    return decorate


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk() -> Any:
    """What is written lives for a millisecond; that it is synced is another test's affair."""
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(os, "fsync", lambda descriptor: None)
        yield


def empty_checkpoint(base: Path) -> Path:
    folder = base / "fuzzed" / "checkpoint-1"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(autouse=True)
def cases(request, record_property) -> Any:
    yield
    assert runs[request.node.name] >= 50, "hypothesis gave up"
    record_property("cases", runs[request.node.name])


@many(200)
@given(values=st.dictionaries(st.sampled_from(own_fields()), scalars | st.lists(scalars, max_size=2), max_size=4))
def test_any_settings_are_taken_or_refused(values: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"bf16": False, **values}
    with contextlib.suppress(BadInput):
        FastSlowConfig(**settings)


@many(200)
@given(content=st.binary(max_size=200) | trees.map(lambda tree: yaml.safe_dump(tree).encode("utf-8", "surrogatepass")))
def test_any_config_file_is_taken_or_refused(tmp_path_factory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "config"
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_bytes(content)
    with contextlib.suppress(BadInput):
        read_config(RunDirectory.open(folder))


rows = st.fixed_dictionaries({}, optional={"question": scalars, "answer": scalars, "id": scalars, "split": scalars})


@many(150)
@given(
    lines=st.lists(
        st.one_of(rows, trees).map(lambda tree: json.dumps(tree).encode()) | st.binary(max_size=60), max_size=6
    )
)
def test_any_jsonl_file_is_taken_or_refused(tmp_path_factory, lines: list[bytes]) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    with contextlib.suppress(BadInput):
        task = resolve_task(f"jsonl:{path}")
        for example in task.split("train"):
            task.score(example, "42")


@pytest.fixture(scope="module")
def lm():
    with OpenAIServer(lambda received: reply_of[0]) as server:
        yield OpenAIReflectionLM(server.base_url, "m", api_key_env="")


reply_of: list[Reply] = [Reply("")]


@many(60)
@given(
    body=st.text(max_size=200)
    | trees.map(lambda tree: json.dumps({"choices": tree}))
    | trees.map(lambda tree: json.dumps({"choices": [{"message": tree, "finish_reason": tree}], "usage": tree})),
    text=st.text(max_size=100),
)
def test_any_reply_is_an_edit_or_none(lm, body: str, text: str) -> None:
    for reply in (
        Reply(body=body.encode("utf-8", "replace").decode()),
        Reply(text.encode("utf-8", "replace").decode()),
    ):
        reply_of[0] = reply
        lm.journal = Journal()  # or it would remember the reply before
        with contextlib.suppress(EndpointError):
            proposal = ReflectionProposer(lm).propose(request(parent(), traces=[trace("q", "a", 0.0, "f")]))
            assert all(isinstance(value, str) for value in proposal.values())


@many(200)
@given(text=st.text(max_size=200) | trees.map(json.dumps))
def test_any_text_is_worked_examples_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert all(isinstance(example.question, str) for example in load_examples(text))


@many(100)
@given(
    state=trees,
    files=st.dictionaries(
        st.sampled_from(["model.safetensors", "router.json", "x"]), st.binary(max_size=80), max_size=3
    ),
)
def test_any_checkpoint_is_loaded_as_written_or_refused(tmp_path_factory, state: Any, files: dict[str, bytes]) -> None:
    """Sealed honestly around nonsense: verification passes, and reading it raises nothing but ours."""
    folder = empty_checkpoint(tmp_path_factory.getbasetemp())
    try:
        (folder / "state.json").write_bytes(dumps(state))
    except ValueError:
        return
    for name, content in files.items():
        (folder / name).write_bytes(content)
    seal(folder, {"format": FORMAT, "step": 1})
    verify(folder)
    with pytest.raises(FastSlowError):
        read_state(folder)


@many(100)
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7), cut=st.integers(0, 50))
def test_any_flipped_bit_is_noticed(tmp_path_factory, at: int, bit: int, cut: int) -> None:
    folder = empty_checkpoint(tmp_path_factory.getbasetemp())
    (folder / "state.json").write_bytes(b'{"a": [1, 2, 3]}')
    seal(folder, {"format": FORMAT, "step": 1})
    assert verify(folder)["step"] == 1
    victim = sorted(folder.iterdir())[at % 2]
    content = bytearray(victim.read_bytes())
    content[at % len(content)] ^= 1 << bit
    victim.write_bytes(bytes(content[: len(content) - cut]))
    with pytest.raises(Damaged):
        verify(folder)
    assert Checkpoints(folder.parent).steps() == [1]


@many(150)
@given(
    content=st.binary(max_size=120) | st.lists(trees.map(json.dumps), max_size=3).map(lambda x: "\n".join(x).encode())
)
def test_any_journal_is_read_or_refused(tmp_path_factory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / JOURNAL
    path.write_bytes(content)
    with contextlib.suppress(BadInput):
        Journal(path)


@many(150)
@given(data=trees)
def test_any_population_is_read_or_raises_what_its_readers_catch(data: Any) -> None:
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError, BadInput):
        Population.from_json(data)
