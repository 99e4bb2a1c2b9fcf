"""A registry is mirrored to a real MLflow server on loopback; without MLflow the tests are skipped and say so."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from fastslow.cli.main import main
from fastslow.core.errors import BadInput
from fastslow.registry.mlflow import mirror
from tests.support.registries import bundle, registry_of_two

HERE = importlib.util.find_spec("mlflow") is not None
needs_mlflow = pytest.mark.skipif(not HERE, reason="MLflow is not installed: pip install '.[mlflow]'")


@pytest.fixture(scope="module")
def server(tmp_path_factory: Any) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
         "--backend-store-uri", f"sqlite:///{folder}/db", "--artifacts-destination", str(folder / "artifacts")],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=(folder / "log").open("w"), start_new_session=True,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
    )  # fmt: skip
    uri = f"http://127.0.0.1:{port}"
    try:
        _wait_for(uri, process, folder / "log")
        yield uri
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=60)


def _wait_for(uri: str, process: Any, log: Path) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the server did not start: {log.read_text()[-2000:]}")


@pytest.mark.processes
@needs_mlflow
def test_versions_files_and_aliases_arrive_once_and_follow(server: str, tmp_path: Path) -> None:
    registry, one, two = registry_of_two(tmp_path)
    argv = ["registry", "mirror", str(registry.folder), "--mlflow", server, "--name", "m"]
    assert main(argv) == 0
    client = import_module("mlflow").MlflowClient(tracking_uri=server, registry_uri=server)
    champion = client.get_model_version_by_alias("m", "champion")
    assert champion.tags["fastslow.version"] == two
    assert champion.tags["fastslow.digest"] == registry.digest(two)
    copy = Path(client.download_artifacts(champion.run_id, "bundle", str(tmp_path)))
    assert (copy / "model.safetensors").read_text() == "better"
    registry.rollback()
    assert main(argv) == 0
    assert len(client.search_model_versions("name='m'")) == 2
    assert client.get_model_version_by_alias("m", "champion").tags["fastslow.version"] == one
    assert set(client.get_registered_model("m").aliases) == {"champion"}


@needs_mlflow
def test_a_server_that_is_not_there_is_named(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry, _, _ = registry_of_two(tmp_path)
    with pytest.raises(BadInput, match=r"127\.0\.0\.1:9"):
        mirror(registry, "http://127.0.0.1:9", "m", print)


@pytest.mark.skipif(HERE, reason="MLflow is installed")
def test_without_mlflow_the_extra_is_named(tmp_path: Path) -> None:
    registry, _, _ = registry_of_two(tmp_path)
    with pytest.raises(BadInput, match=r"\.\[mlflow\]"):
        mirror(registry, "http://127.0.0.1:9", "m", print)


def test_a_version_that_is_added_while_others_are_uploaded_waits_for_the_next_mirror(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """A stand-in for the client, as the moment cannot be met with a server."""
    registry, _, two = registry_of_two(tmp_path)
    client = MagicMock()
    client.search_model_versions.return_value = []
    client.get_registered_model.return_value.aliases = {}
    late = bundle(tmp_path / "late", "late")
    client.log_artifacts.side_effect = lambda *_: registry.add(late)
    fake = SimpleNamespace(MlflowClient=lambda **_: client)
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", SimpleNamespace(MlflowException=RuntimeError))
    told: list[str] = []
    mirror(registry, "http://127.0.0.1:9", "m", told.append)
    assert [line.split()[0] for line in told if line.startswith("0")][-1] == two
    assert not [line for line in told if line.startswith("candidate")]
