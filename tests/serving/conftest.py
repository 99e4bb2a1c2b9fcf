"""A bundle and a server behind the proxy, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.shipped import make_bundle
from tests.support.stub_upstream import Stub, stub_upstream


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def behind() -> Iterator[tuple[Stub, str]]:
    with stub_upstream() as stub:
        yield stub
