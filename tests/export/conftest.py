"""A bundle, and its export, which the tests of this folder read and never change."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastslow.export.folder import ExportSettings, export_bundle
from tests.support.shipped import CONTEXTS as FOUR
from tests.support.shipped import make_bundle, topics_of


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made"), topics=topics_of(FOUR), max_completion_length=7)


@pytest.fixture(scope="module")
def exported(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "out"
    export_bundle(bundle, folder, ExportSettings(contexts="lead"))
    return folder
