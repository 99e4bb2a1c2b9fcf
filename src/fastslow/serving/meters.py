"""Count for Prometheus, and write a log without texts."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from fastslow.core.errors import BadInput
from fastslow.files import jsonl

logger = logging.getLogger(__name__)

OWN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Meters:
    """What `GET /metrics` shows. Labels are statuses, context ids and outcomes, never anything that a client wrote."""

    def __init__(self, version: str):
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "fastslow_requests", "Chat requests by status and context.", ["status", "context"], registry=registry
        )
        self.own = Histogram(
            "fastslow_proxy_seconds", "Time of the proxy itself before a request goes on.", buckets=OWN_SECONDS,
            registry=registry,
        )  # fmt: skip
        self.whole = Histogram(
            "fastslow_request_seconds", "Time from a request to the end of its answer.", buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        self.open = Gauge("fastslow_open_requests", "Chat requests on their way.", registry=registry)
        self.failures = Counter(
            "fastslow_upstream_failures", "Answers that failed at the server behind.", ["code"], registry=registry
        )
        self.left = Counter("fastslow_clients_left", "Clients that left before their answer.", registry=registry)
        self.shadow = Counter(
            "fastslow_shadow", "Answers of the shadow: equal, different, failed, dropped.", ["outcome"],
            registry=registry,
        )  # fmt: skip
        Info("fastslow_release", "What is served.", registry=registry).info({"version": version})

    def text(self) -> bytes:
        """Return all counts in Prometheus' text form."""
        return generate_latest(self._registry)


class Log:
    """Append one line of JSON a request, if there is a file at all: what was chosen and how long, and no text.

    Raises BadInput at construction for what is no file, or cannot be written. Later failures are said once: a full disk
    must not stop the answers.
    """

    def __init__(self, path: Path | None):
        self._path, self._failed = path, False
        if path is not None:
            try:
                if path.exists() and not path.is_file():  # a pipe, for one, stops the answers until somebody reads it
                    raise BadInput(f"cannot write the log '{path}': not a file. Name a file, or one that is yet to be.")
                jsonl.append(path, [])
            except OSError as error:
                raise BadInput(f"cannot write the log '{path}': {error.strerror or error}.") from error

    def write(self, kind: str, row: Mapping[str, Any]) -> None:
        """Write a line of this kind, `request` or `shadow`."""
        if self._path is None:
            return
        try:
            jsonl.append(self._path, [jsonl.dumps({"time": round(time.time(), 3), "kind": kind, **row})])
        except OSError as error:
            if not self._failed:
                logger.warning("the log cannot be written any more: %s", error.strerror or error)
            self._failed = True
