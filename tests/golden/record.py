"""Record the golden runs on this machine: python -m tests.golden.record [CASE ...]"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile

from tests.golden.cases import CASES, RECORDED, machine, results_of, threads


def main(names: list[str]) -> None:
    """Run and write these cases, or all."""
    RECORDED.mkdir(exist_ok=True)
    for name in names or CASES:
        back = threads(1)
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            results = results_of(CASES[name]())
        back()
        text = json.dumps({"machine": machine(), "results": results}, indent=1, ensure_ascii=False, sort_keys=True)
        (RECORDED / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
