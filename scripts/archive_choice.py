"""Where a topic's loss comes from, the weights or the choice among its contexts.

    python scripts/archive_choice.py ARM SEED       one run of recipes/stream_recur.yaml, some ten minutes on one core

At every evaluation, each context that the archive holds for a topic answers that topic's validation questions, greedily
and, four times a question, at temperature 1, as the rollouts do that contexts are chosen by. The best of them by the
archive comes first. Written to results/archive-choice/ARM-sSEED.jsonl.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from fastslow.config.settings import FastSlowConfig
from fastslow.evaluation.accuracy import Sampling, accuracy_of, answer_examples
from fastslow.record.recorder import Recorder
from fastslow.run.trainer import FastSlowTrainer
from fastslow.tasks.task_set import by_task

RECIPE, KEPT = Path("recipes/stream_recur.yaml"), Path("results/archive-choice")
SAMPLES = 4


class Watched(FastSlowTrainer):
    """A trainer that measures every archived context wherever it is evaluated."""

    kept: Path

    def measure(self):
        metrics = super().measure()
        owners, archive = self.topics.owners(), self.topics.archive
        for topic, entry in archive.entries.items() if archive is not None else ():
            worth = entry.worth
            contexts = [
                {"id": c, "worth": round(worth[c], 4), **self._both_ways(c, owners[topic])} for c in entry.ranked
            ]
            line = {"step": self.step, "topic": topic, "task": owners[topic], "contexts": contexts}
            with self.kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        return metrics

    def _both_ways(self, context_id: str, task: str) -> dict[str, float | None]:
        context, examples = (
            self.population.known[context_id],
            by_task(self.parts.task, self.parts.task.split("validation"))[task],
        )
        greedy = replace(self.policy.params, temperature=self.args.eval_temperature, top_p=self.args.eval_top_p)
        sampled = replace(greedy, temperature=1.0)
        return {
            how: accuracy_of(
                answer_examples(self.policy, context, examples, Sampling(params, samples, self.args.seed)), samples
            ).accuracy
            for how, params, samples in (("greedy", greedy, 1), ("sampled", sampled, SAMPLES))
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arm", choices=["inferred", "labels"])
    parser.add_argument("seed", type=int)
    options = parser.parse_args()
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    arm = recipe.pop("compare")["arms"][options.arm]
    KEPT.mkdir(parents=True, exist_ok=True)
    Watched.kept = KEPT / f"{options.arm}-s{options.seed}.jsonl"
    Watched.kept.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {**recipe, **arm, "seed": options.seed, "output_dir": folder}
        Watched(FastSlowConfig(**settings), recorder=Recorder(None)).train()


if __name__ == "__main__":
    main()
