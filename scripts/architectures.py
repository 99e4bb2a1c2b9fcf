"""Run every kind of model of tests/support/zoo.py through training, resume and evaluation, and write what happened.

Usage: architectures.py OUTPUT.json PAGE.md [NAME ...]. What OUTPUT.json holds already is not run again.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from tests.support import zoo  # noqa: E402
from tests.support.runs import tiny_settings  # noqa: E402

from fastslow.cli.train import quiet_libraries  # noqa: E402
from fastslow.config.settings import FastSlowConfig  # noqa: E402
from fastslow.core.errors import BadInput  # noqa: E402
from fastslow.policy.loading import pad_id  # noqa: E402
from fastslow.policy.trials import sampling_way  # noqa: E402
from fastslow.run.trainer import FastSlowTrainer  # noqa: E402

MARK = "<!-- the table below is written by make architectures -->"
MOST_OFF = 1e-3


def look_at(name: str, folder: Path) -> dict[str, Any]:
    """Return how a model of this type is sampled and trained, and how exactly; or the line by which it is refused."""
    settings = tiny_settings(folder, model=str(zoo.save_zoo(name, folder / "model")), output_dir=str(folder / "looked"))
    try:
        trainer = FastSlowTrainer(FastSlowConfig(**settings))
    except BadInput as refusal:
        return {"refused": str(refusal).replace(str(folder), "")}
    model = trainer.model
    trees = trainer.slow.as_trees
    logprob, gradient = zoo.training_errors(trainer)
    sampled, dependent = zoo.sampling_errors(model)
    found: dict[str, Any] = {
        "samples": sampling_way(model, pad_id=pad_id(trainer.tokenizer)).value,
        "trains": "token trees" if trees else trainer.slow.how_it_trains.removeprefix("trains on ").partition(" (")[0],
        "sampled_off": float(f"{sampled:.1e}"),
        "trained_off": float(f"{logprob:.1e}"),
        "gradient_off": float(f"{gradient:.1e}"),
    }
    assert dependent == 0, f"{name}: {dependent} rows depend on their batch"
    assert max(sampled, logprob, gradient) < MOST_OFF, f"{name}: {found}"
    run = zoo.run_through(name, folder)
    assert len(run["rows"]) == 6
    return found


def page_of(results: dict[str, dict[str, Any]]) -> str:
    """Return the table of the page."""
    lines = ["| model type | kind | sampling | training |", "|---|---|---|---|"]
    for kind, names in zoo.KINDS.items():
        for name in names:
            if name in results:
                one = results[name]
                what = f"refused: {one['refused']} | " if "refused" in one else f"{one['samples']} | {one['trains']}"
                lines.append(f"| `{name}` | {kind} | {what} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    output, page = Path(sys.argv[1]), Path(sys.argv[2])
    quiet_libraries()
    torch.set_num_threads(1)
    results: dict[str, dict[str, Any]] = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}
    failed = []
    for name in sys.argv[3:] or zoo.ZOO:
        if name in results:
            continue
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            try:
                results[name] = look_at(name, Path(folder))
            except (Exception, KeyboardInterrupt):
                traceback.print_exc(limit=-6)
                failed.append(name)
                continue
        gc.collect()  # a trainer refers to itself, and keeps its models
        print(name, json.dumps(results[name]), file=sys.stderr, flush=True)
        output.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    page.write_text(text[: text.index(MARK)] + f"{MARK}\n\n{page_of(results)}", encoding="utf-8")
    print(f"{len(results)} as they should be, {len(failed)} not: {' '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
