"""`fastslow serve`: refused in one line before anything is loaded, or up until a signal says stop."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from fastslow.cli.main import main
from fastslow.files.scratch import scratch
from fastslow.registry.registry import ModelRegistry
from fastslow.serving import server
from tests.support.nursery import Nursery
from tests.support.recording import greedy_answers
from tests.support.runs import write_task
from tests.support.shipped import lively_model, make_bundle, promoted
from tests.support.stub_upstream import stub_upstream

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made"))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--port", "70000"], "port from 0 to 65535"),
        (["--choose", "mood"], "invalid choice"),
        (["--choose", "cluster", "--upstream", "http://127.0.0.1:9/v1"], "--clusters inferred"),
        (["--upstream", "file:///etc/passwd"], "such as http://127.0.0.1:8000/v1"),
        (["--upstream", "http://user:pass@host/v1"], "without a key in it"),
        (["--upstream", "http://127.0.0.1:9/v1", "--shadow", "x"], "--shadow_upstream"),
        (["--shadow_upstream", "http://127.0.0.1:9/v1"], "needs --shadow"),
        (["--api_key", "NO_SUCH_VARIABLE_HERE"], "NO_SUCH_VARIABLE_HERE"),
        (["--shadow_share", "0"], "above 0"),
        (["--host", "no.such.host.invalid"], "cannot listen"),
        (["--log", "/no/such/folder/x", "--upstream", "http://127.0.0.1:9/v1"], "cannot write the log"),
        (["--timeout", "nan"], "above 0"),
        (["--log", "/", "--upstream", "http://127.0.0.1:9/v1"], "not a file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    bundle: Path, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(bundle), "--port", "0", *flags]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_a_port_that_is_taken_is_said_before_anything_is_loaded(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["serve", str(bundle), "--port", str(taken.getsockname()[1])]) == 2
    assert "Address already in use" in capsys.readouterr().err


def test_what_is_no_bundle_and_no_export_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(tmp_path), "--port", "0"]) == 2
    assert "holds no bundle" in capsys.readouterr().err
    assert main(["serve", f"{tmp_path}@champion", "--port", "0"]) == 2
    assert "not a registry" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("gated", "flags", "choose", "said"),
    [
        ("seed", [], "seed", "as they were gated"),
        ("cluster", [], "cluster", "as they were gated"),
        ("seed", ["--choose", "lead"], "lead", "note: this version was gated with --choose seed"),
        ("lead", [], "lead", "as they were gated"),
    ],
)
def test_a_champion_is_served_as_its_verdict_says(
    bundle: Path, tmp_path: Path, monkeypatch: Any, capsys: Any, gated: str, flags: list[str], choose: str, said: str
) -> None:
    champion, seen = promoted(tmp_path / "registry", bundle, gated), []
    monkeypatch.setattr(server, "serve", lambda folder, settings, ready: (seen.append(settings), ready("http://x/v1")))
    assert main(["serve", champion, *flags]) == 0
    assert [settings.choose for settings in seen] == [choose]
    assert said in capsys.readouterr().err


def test_what_no_verdict_speaks_of_is_served_with_its_lead(
    bundle: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    registry = ModelRegistry.create(tmp_path / "registry")
    registry.force(registry.add(bundle), "a trial")
    seen: list[str] = []
    monkeypatch.setattr(server, "serve", lambda folder, settings, ready: seen.append(settings.choose))
    for name in (str(bundle), f"{tmp_path / 'registry'}@champion"):
        assert main(["serve", name]) == 0
    assert seen == ["lead", "lead"]
    assert "gate" not in capsys.readouterr().err


def test_an_export_remembers_what_was_gated(bundle: Path, tmp_path: Path, monkeypatch: Any) -> None:
    champion, seen = promoted(tmp_path / "registry", bundle, "seed"), []
    assert main(["export", champion, "--output", str(tmp_path / "out")]) == 0
    monkeypatch.setattr(server, "serve", lambda folder, settings, ready: seen.append(settings.choose))
    assert main(["serve", str(tmp_path / "out")]) == 0
    assert seen == ["seed"]


def started(*flags: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
    """A real `fastslow serve`, and the URL that it says."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT), *sys.path]), **environment}
    process = subprocess.Popen(
        [sys.executable, "-m", "fastslow", "serve", "--port", "0", *flags], env=env, text=True, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if " serves " in line:
            return process, line.split(" ", 1)[0]
    raise AssertionError("".join(lines))


@contextmanager
def forked(folder: Path, *flags: str, **environment: str) -> Iterator[tuple[int, str, Callable[[], int]]]:
    """A `fastslow serve` that is a fork of the nursery, which spares it the loading of libraries: its process id, the
    URL that it says, and what waits for its exit code."""
    with Nursery(folder) as nursery, ThreadPoolExecutor(1) as pool:
        before = set(_children(nursery.pid))
        argv = ["serve", "--port", "0", *flags]
        ended = pool.submit(nursery.call, __name__, "serve_here", argv, environment, ranks=1)
        said = None
        while said is None and not ended.done():
            time.sleep(0.05)
            said = re.search(r"(http\S+) serves ", nursery.log()) if (folder / "log.txt").exists() else None
        assert said is not None, nursery.log()
        [pid] = set(_children(nursery.pid)) - before
        try:
            yield pid, said[1], lambda: ended.result(timeout=60)[0]
        finally:
            if not ended.done():
                os.kill(pid, signal.SIGKILL)


def serve_here(argv: list[str], environment: dict[str, str]) -> None:
    """What the fork does."""
    os.environ.update(environment)
    tempfile.tempdir = None  # as at the start of a process
    assert main(argv) == 0


@pytest.mark.processes
def test_a_signal_ends_the_server_with_exit_code_0(bundle: Path) -> None:
    with stub_upstream() as (_, upstream):
        process, url = started(str(bundle), "--upstream", upstream, "--api_key", "OUR_KEY", OUR_KEY="s3cret")
        try:
            client = openai.OpenAI(base_url=url, api_key="s3cret")
            assert client.chat.completions.create(
                model=bundle.parent.name, messages=[{"role": "user", "content": "?"}]
            ).choices[0].message.content == "hi"  # fmt: skip
            assert httpx.get(f"{url}/models").status_code == 401
            hangs: Any = {"role": "user", "content": json.dumps({"id": "a", "events": 3, "hang_at": 2})}
            stream = iter(client.chat.completions.create(model=bundle.parent.name, messages=[hangs], stream=True))
            next(stream)
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)  # a second signal: at once
            with pytest.raises(openai.APIError, match="being stopped"):
                list(stream)
        finally:
            process.terminate()
            _, rest = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in rest
    assert "s3cret" not in rest


@pytest.mark.processes
def test_without_an_upstream_100_answers_are_those_of_an_evaluation_and_no_server_is_left(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"train_size": 20, "test_size": 100, "max_completion_length": 6}
    bundle = make_bundle(tmp_path, model=lively_model(), task=write_task(tmp_path, rows=300), **sizes)
    with forked(tmp_path, str(bundle), "--device", "cpu", "--name", "ours") as (pid, url, exit_code):
        client = openai.OpenAI(base_url=url, api_key="x")
        ours, served, names = greedy_answers(bundle, tokens=6), [], set()
        asked: dict[str, Any] = {"model": "ours", "temperature": 0, "max_completion_tokens": 6}
        for example, _ in ours:
            turns: Any = [dict(turn) for turn in example.messages]
            answer = client.chat.completions.create(messages=turns, **asked)
            served.append((example, answer.choices[0].message.content))
            names.add(answer.model)
        last: Any = [dict(turn) for turn in ours[-1][0].messages]
        parts = list(client.chat.completions.create(messages=last, stream=True, **asked))
        streamed = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
        children = _children(pid)
        os.kill(pid, signal.SIGINT)
        assert exit_code() == 0
    assert len(ours) == 100
    assert len({text for _, text in ours}) > 20
    assert served == ours
    assert streamed == ours[-1][1]
    assert names | {part.model for part in parts} == {"ours"}
    assert children
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


@pytest.mark.processes
def test_a_server_that_is_killed_leaves_no_server_behind_and_its_files_until_the_next_start(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forked(tmp_path, str(bundle), "--device", "cpu", TMPDIR=str(tmp_path)) as (pid, _, exit_code):
        children = _children(pid)
        assert children
        os.kill(pid, signal.SIGKILL)
        assert exit_code() == -signal.SIGKILL
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for prefix in ("fastslow-export-", "fastslow-serve-"):
        assert len(list(tmp_path.glob(f"{prefix}*"))) == 1
        with scratch(prefix) as folder:
            assert list(tmp_path.glob(f"{prefix}*")) == [folder]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
