"""`make mutations` takes an hour or two; that its guards still stand, and their tests too, is looked up here."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from guards import MUTATIONS  # noqa: E402


def test_every_guard_stands_once_where_its_mutation_looks_for_it() -> None:
    sources = {guard.file: (ROOT / "src/fastslow" / guard.file).read_text(encoding="utf-8") for guard in MUTATIONS}
    assert not [guard.guard for guard in MUTATIONS if sources[guard.file].count(guard.old) != 1]


def test_the_tests_that_are_to_notice_exist() -> None:
    missing = []
    for name in sorted({test for guard in MUTATIONS for test in guard.tests}):
        path, _, test = name.partition("::")
        source = (ROOT / path).read_text(encoding="utf-8") if (ROOT / path).is_file() else ""
        if not source or (test and f"def {test.partition('[')[0]}(" not in source):
            missing.append(name)
    assert not missing
