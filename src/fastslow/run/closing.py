"""End a run: bundle first, then the last measurements and the summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from fastslow.bundles.bundle import write_bundle
from fastslow.bundles.digest import BUNDLE, manifest_of
from fastslow.bundles.soft import describe_soft
from fastslow.config.settings import FastSlowConfig, bundled_fields, compute_type
from fastslow.core import processes
from fastslow.core.errors import Stopped
from fastslow.core.measurement import Quantity, means
from fastslow.evaluation.accuracy import prompt_tokens
from fastslow.files.run_directory import RunDirectory, machine, versions
from fastslow.run.trainer import FastSlowTrainer
from fastslow.tasks.check import stated_answer
from fastslow.tasks.families.streamed import StreamedTask
from fastslow.tasks.task_set import by_task

LONGEST_LABEL = 60
MOST_LABELS = 12  # of which a table says what was taken for what
"""Characters of an answer that a summary holds."""


def finish(trainer: FastSlowTrainer) -> dict[str, Any]:
    """Write bundle and summary, and return the summary; a stopped run is not measured any more.

    A signal ends the measuring, and loses no weights. Every process has to call this function.
    """
    run, config = trainer.recorder.run, trainer.args
    trainer.cycle.weighing.choose_lead(trainer.step)
    if config.retention_floor is not None and config.retention_action == "rollback":
        with suppress(Stopped):
            _measure_what_ships(trainer)  # which may take the weights back, and these are what ships
    whole = trainer.slow.whole_model() if config.save_bundle else None
    if run is not None and whole is not None:
        trainer.recorder.doing("save", trainer.step)
        write_bundle(
            run.path / "bundle",
            model=whole,
            tokenizer=trainer.tokenizer,
            population=trainer.population,
            router=trainer.parts.router.state_dict(),
            topics=trainer.topics,
            base_name=config.model,
        )
    if trainer.mode.slow and trainer.step and not trainer.recorder.trained["rows"]:
        trainer.recorder.display.note(
            "NOTHING WAS LEARNED: not one row had a gradient, and the weights are those of the start. "
            + ("No answer earned full reward." if trainer.mode.imitates else "The answers of a group were all alike.")
        )
    with suppress(Stopped):
        _measure(trainer)
    stopped_by = _stopped_by(trainer)
    summary = summarise(trainer, status=f"stopped by {stopped_by[0]}" if stopped_by else "done")
    if run is not None:
        _write(run, trainer, summary)
        if not stopped_by:
            trainer.checkpointing.finish()
    processes.wait()
    return summary if processes.is_main() else {}


def _measure(trainer: FastSlowTrainer) -> None:
    """Make the measurements that are still missing, until a signal ends them."""
    _measure_what_ships(trainer)
    if not _stopped_by(trainer):
        with trainer.recorder.phase("eval", trainer.step):
            kinds = ["seed", "lead"] if trainer.mode.fast else ["seed"]
            trainer.recorder.evals(trainer.step, trainer.evaluator.measure_base(trainer.population, kinds))


def _measure_what_ships(trainer: FastSlowTrainer) -> None:
    if not _stopped_by(trainer) and trainer.step not in trainer.recorder.measured_steps:
        trainer.evaluate()


def _stopped_by(trainer: FastSlowTrainer) -> list[str]:
    """Return what has stopped the run so far, on whichever process: a signal may come during the measurements."""
    return processes.gather(trainer.stopped_by)


def _write(run: RunDirectory, trainer: FastSlowTrainer, summary: Mapping[str, Any]) -> None:
    """Write the summary, and `bundle.json`, or without a bundle the contexts. `bundle.json` names digest and length
    of every other file: damage is noticed, and weights and contexts of different runs put together."""
    config = trainer.args
    settings = {name: getattr(config, name) for name in bundled_fields()}
    if trainer.own_task:  # no name leads to an object
        settings |= {"task": summary["task"], "tasks": None, "task_object": True}
    settings |= {"task": settings["task"] or summary["task"], "dtype": compute_type(config)}
    settings |= _met(trainer)
    provenance = {key: summary[key] for key in ("steps", "status", "accuracy", "kl_to_base", "versions")}
    if config.save_bundle:
        run.write_json(f"bundle/{BUNDLE}", {"settings": settings, **provenance, **manifest_of(run.path / "bundle")})
    else:  # the contexts are small, and a report shows the contexts
        run.write_json("population.json", trainer.population.to_json())
        if trainer.topics.archive is not None:
            run.write_json("archive.json", trainer.topics.archive.to_json())
    run.write_json("summary.json", summary)


def _met(trainer: FastSlowTrainer) -> dict[str, Any]:
    """Return what tells, with the task and its sizes, which questions the weights have met: the runs before this one,
    and how far a stream was read, lookaheads included."""
    met: dict[str, Any] = {"ancestors": trainer.ancestors} if trainer.ancestors else {}
    if isinstance(trainer.parts.task, StreamedTask):
        cycles = [-1, *(cycle for step in range(trainer.step + 1) for cycle in trainer.cycle.cycles_at(step))]
        ahead = (max(cycles) + 1) * trainer.args.slow_steps_per_cycle
        met["questions_taken"] = max(trainer.step + 1, ahead) * trainer.args.questions_per_step
    return met


def summarise(trainer: FastSlowTrainer, *, status: str) -> dict[str, Any]:
    """Return the numbers a script reads (summary.json)."""
    config, recorder = trainer.args, trainer.recorder
    latest = {(one.weights, one.context, one.task): one for one in recorder.measurements}

    def values(what: Quantity, task: str | None = None) -> dict[str, float | None]:
        rows = {w: [r for (v, _, t), r in latest.items() if v == w and task in (None, t)] for w in ("base", "trained")}
        base, trained = (means(of_weights, what) for of_weights in rows.values())
        by_name = {f"base_{context}": base.get(context) for context in ("seed", "lead")}
        kinds = trainer.topics.kinds
        return by_name | {context: trained.get(context) for context in ("seed", "lead", "mean", *kinds)}

    kl, names = values("kl"), by_task(trainer.parts.task, trainer.parts.task.split("validation"))
    by_name = {name: {**values("accuracy", name), "fully_right": values("fully_right", name)} for name in names}
    return {
        "status": status,
        "mode": config.mode,
        "channels": {"fast": trainer.mode.fast, "slow": trainer.mode.slow},
        "engine": trainer.policy.describe_engine(),
        "ships": trainer.shipped_context,
        "seed": config.seed,
        "model": config.model,
        "task": trainer.parts.task.name,
        "steps": trainer.step,
        "rollouts": dict(recorder.rollouts),
        "tokens": dict(recorder.tokens),
        "trained": dict(recorder.trained),
        "prompt_tokens": _prompt_tokens(trainer),
        "wall_s": recorder.wall_by_phase(),
        "accuracy": values("accuracy"),
        "fully_right": values("fully_right"),
        **({"tasks": by_name} if config.tasks else {}),
        **_labels(trainer),
        **_soft(trainer),
        "kl_to_base": {"seed": kl["seed"], "lead": kl["lead"]},
        "lead_context": trainer.population.lead.to_json(),
        "standings": list(map(asdict, trainer.cycle.weighing.standings(trainer.step))) if trainer.mode.fast else [],
        "population": [context.id for context in trainer.population.members],
        "reflection": {**recorder.reflection, "cost_usd": reflection_cost(config, recorder.reflection)},
        "skipped_too_long": trainer.policy.skipped,
        "validation_examples": len(trainer.parts.task.split("validation")),
        "machine": machine(str(trainer.slow.device)),
        "versions": versions(),
    }  # fmt: skip


def _labels(trainer: FastSlowTrainer) -> dict[str, Any]:
    """Return what one answer to everything would come to, where the right answers are few labels: what a model that
    learned nothing but a label is right on; and which label was taken for which. Nothing for other tasks, and for
    several at once."""
    examples = trainer.parts.task.split("validation")
    right = {e.id: answer for e in examples if (answer := stated_answer(trainer.parts.task, e)) is not None}
    counts = Counter(right.values())
    if trainer.args.tasks or len(right) < len(examples) or not 1 < len(counts) <= len(right) / 3:
        return {}
    ((label, times),) = counts.most_common(1)
    given = trainer.recorder.given.get(trainer.shipped_context, [])
    found: dict[str, Any] = {
        "number": len(counts), "commonest": label[:LONGEST_LABEL], "commonest_share": times / len(right),
        "answered": None, "answered_share": None,
    }  # fmt: skip
    if given:
        ((text, most),) = Counter(said for _, said in given).most_common(1)
        found |= {"answered": text[:LONGEST_LABEL], "answered_share": most / len(given)}
        if len(counts) <= MOST_LABELS and (table := _taken_for(right, given)):
            found["taken_for"] = table
    return {"labels": found}


def _taken_for(right: Mapping[str, str], given: Sequence[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Return how often each label was answered, by the right one; "" for whatever is no label. Case counts only between
    labels that differ in nothing else. Empty where the labels are too long to be told apart in a table."""
    labels = sorted(set(right.values()))
    shown = {label: label[:LONGEST_LABEL] for label in labels}
    if len(set(shown.values())) < len(labels):
        return {}
    alike = Counter(label.strip().casefold() for label in labels)
    folded = {key: label for label in labels if alike[key := label.strip().casefold()] == 1}
    exact = {label.strip(): label for label in labels}
    table = {name: dict.fromkeys([*shown.values(), ""], 0) for name in shown.values()}
    for question, said in given:
        label = exact.get(said) or folded.get(said.casefold())
        table[shown[right[question]]][shown[label] if label is not None else ""] += 1
    return table


def _soft(trainer: FastSlowTrainer) -> dict[str, Any]:
    """Return what the rows of the soft contexts in use are near; nothing in a run of texts."""
    if trainer.slow.soft is None:
        return {}
    return {"soft": describe_soft(trainer.model, trainer.tokenizer, trainer.population)}


def _prompt_tokens(trainer: FastSlowTrainer) -> dict[str, float]:
    """Return the mean tokens of a validation prompt, under the seed context and under what ships."""
    examples, kinds = trainer.parts.task.split("validation"), dict.fromkeys(["seed", trainer.shipped_context])
    return {k: prompt_tokens(trainer.policy, trainer.population, k, examples, trainer.topics) for k in kinds}


def reflection_cost(config: FastSlowConfig, spent: Mapping[str, Any]) -> float | None:
    """Return US dollars paid to the reflection endpoint: 0 where none was asked, None where its price is not known."""
    if not spent["calls"] or not config.reflection_base_url:
        return 0.0
    if config.reflection_price_prompt is None or config.reflection_price_completion is None:
        return None
    prompt, completion = config.reflection_price_prompt, config.reflection_price_completion
    return (spent["prompt_tokens"] * prompt + spent["completion_tokens"] * completion) / 1e6
