"""The first screen says no more than every control, every channel and the number of seeds allow."""

from __future__ import annotations

import json

import pytest

from fastslow.report.pages.markdown import markdown
from fastslow.report.questions.compare import compare
from fastslow.report.questions.verdict import Headline, headline
from fastslow.report.reading.sources import load_sources
from tests.report.runs import FST, RL, TASK, make_comparison, make_run, write_lines

SEEDS = (1, 2, 3)
FLAT = [(0, 0.1, 0.0), (10, 0.1, 0.1)]


def found(paths) -> Headline:
    return headline(compare(*load_sources(paths))[0])


def arms(folder, *, seeds=SEEDS, base_lead=0.2, trained=0.3, **controls):
    """Plain RL and fst, which saves two thirds of everything and ends at 0.8 in each seed, and further arms by mode,
    each with the accuracy it ends at."""
    paths = [make_run(folder / f"rl-{s}", "rl", s, RL) for s in seeds]
    closing = {"base_lead": base_lead, "seed": trained}
    paths += [make_run(folder / f"fst-{s}", "fst", s, FST, closing=closing) for s in seeds]
    for mode, end in controls.items():
        paths += [make_run(folder / f"{mode}-{s}", mode, s, [(10, 0.1, 0.0), (30, end, 0.0)], cost=32) for s in seeds]
    return paths


def test_an_arm_ahead_of_every_control_is_a_yes(tmp_path):
    screen = found(arms(tmp_path, prompt=0.7, rl_prompt=0.5))
    assert screen.answer == "Yes"
    assert "better than every control, the nearest of them prompt (0.70 with 0.5x the rollouts: " in screen.sentence


@pytest.mark.parametrize("mode", ["prompt", "rl_prompt", "prompt_rl"])
def test_a_saving_against_plain_rl_is_no_yes_where_another_control_ends_as_high(tmp_path, mode):
    screen = found(arms(tmp_path, **{mode: 0.8}))
    assert screen.answer == "In part"
    assert f"At the end fst stands at 0.80: not clear of {mode} (0.80 with 0.5x the rollouts: " in screen.sentence


def test_contexts_that_do_it_all_are_not_credited_to_the_training(tmp_path):
    """Plain RL never rises, and the base under the evolved context is worth as much as the trained weights."""
    paths = [make_run(tmp_path / f"rl{s}", "rl", s, FLAT) for s in SEEDS]
    for seed, base_lead in zip(SEEDS, (0.30, 0.30, 0.36), strict=True):
        points = [(0, 0.1, 0.0), (10, 0.32, 0.2)]
        closing = {"base_lead": base_lead, "seed": 0.1}
        paths.append(make_run(tmp_path / f"fst{seed}", "fst", seed, points, closing=closing))
        paths.append(make_run(tmp_path / f"prompt{seed}", "prompt", seed, [(0, 0.1, 0.0), (10, 0.28, 0.0)], cost=32))
    screen = found(paths)
    assert screen.answer == "In part"
    assert "not clear of its base weights under its best prompt (0.32: +0.00" in screen.sentence
    assert "from the contexts alone" in screen.sentence
    assert "training made 1 of 3 seeds worse" in screen.sentence
    row = "| prompt | 0.28 | +0.04 (+0.04 to +0.04) | 0.5x |"
    assert row in markdown(load_sources(paths))


@pytest.mark.parametrize(
    ("base_lead", "trained", "brought"),
    [(0.2, 0.3, "both channels"), (0.8, 0.1, "the contexts alone"), (0.1, 0.8, "the weights alone"),
     (0.8, 0.8, "either channel alone")],
)  # fmt: skip
def test_the_channel_that_brought_the_gain_is_named(tmp_path, base_lead, trained, brought):
    screen = found(arms(tmp_path, base_lead=base_lead, trained=trained))
    assert f"from {brought}: the weights add" in screen.sentence


@pytest.mark.parametrize("seeds", [SEEDS, SEEDS[:2]])
def test_no_channel_is_credited_with_a_part_that_chance_may_explain(tmp_path, seeds):
    """In all seeds but one the contexts add nothing to the trained weights, and the weights' part scatters."""
    paths = [make_run(tmp_path / f"rl-{s}", "rl", s, RL) for s in seeds]
    for seed in seeds:
        closing = {"base_lead": 0.8 - 0.3 * (seed == 1), "seed": 0.8 - 0.1 * (seed == 1)}
        paths.append(make_run(tmp_path / f"fst-{seed}", "fst", seed, FST, closing=closing))
    assert "Which channel brought the gain of +0.70 over the base's 0.10 is undecided: the" in found(paths).sentence


def test_a_channel_that_surely_helped_is_named_without_the_one_that_may_have(tmp_path):
    paths = [make_run(tmp_path / f"rl-{s}", "rl", s, RL) for s in SEEDS]
    for seed in SEEDS:
        closing = {"base_lead": 0.2, "seed": 0.8 - 0.1 * (seed == 1)}
        paths.append(make_run(tmp_path / f"fst-{seed}", "fst", seed, FST, closing=closing))
    assert "came from the weights; whether the contexts added to it is undecided: " in found(paths).sentence


@pytest.mark.parametrize(("half", "said"), [(0.05, "seems to have come from both channels"), (0.5, "is undecided")])
def test_of_one_seed_the_noise_of_its_questions_decides(tmp_path, half, said):
    paths = arms(tmp_path, seeds=(1,))
    closing = {("base", "seed"): 0.1, ("base", "lead"): 0.2, ("trained", "seed"): 0.3, ("trained", "lead"): 0.8}
    write_lines(
        paths[1] / "evals.jsonl",
        [
            {"step": 30, "weights": w, "context": c, "task": TASK, "accuracy": y, "low": y - half, "high": y + half}
            for (w, c), y in closing.items()
        ],
    )
    assert said in found(paths).sentence


def test_a_control_that_was_not_measured_in_every_seed_leaves_no_plain_yes(tmp_path):
    paths = arms(tmp_path)
    summary = json.loads((paths[-1] / "summary.json").read_text())
    del summary["accuracy"]["base_lead"]
    (paths[-1] / "summary.json").write_text(json.dumps(summary))
    assert found(paths).answer == "It seems so"


@pytest.mark.parametrize("points", [[], [(10, 0.3, 0.0)]])
def test_a_run_that_is_not_finished_is_named_and_the_others_are_told(tmp_path, points):
    paths = arms(tmp_path)
    whole = found(paths)
    begun = found([*paths, make_run(tmp_path / "fst-4", "fst", 4, points, done=False)])
    assert (begun.answer, begun.figures) == (whole.answer, whole.figures)
    assert begun.sentence == f"{whole.sentence} Not finished, and left out: fst-4."
    text = markdown(load_sources([*paths, tmp_path / "fst-4"]))
    assert "- **fst-4**: left out of verdict, means and curves" in text
    assert "| fst-4 | fst | 4 | unfinished |" in text


def probe(folder, seeds, share):
    """A plasticity probe of two checkpoints, the other of which learns `share` of what the base learns."""
    cells = []
    for label, points in (("base", FST), ("from a", [(step, share * y, kl) for step, y, kl in FST])):
        for seed in seeds:
            path = f"{label.replace(' ', '-')}-s{seed}"
            make_run(folder / path, "rl", seed, points, model=label)
            cells.append({"path": path, "arm": label, "mode": "rl", "seed": seed, "status": "done"})
    return [make_comparison(folder, "plasticity", cells, reference="base")]


CASES = {
    "yes": lambda folder, seeds: arms(folder, seeds=seeds),
    "in part": lambda folder, seeds: arms(folder, seeds=seeds, prompt=0.9),
    "no": lambda folder, seeds: [
        make_run(folder / f"{mode}{s}", mode, s, points) for mode, points in (("rl", RL), ("fst", FLAT)) for s in seeds
    ],
    "kept": lambda folder, seeds: probe(folder, seeds, 1.0),
    "lost in part": lambda folder, seeds: probe(folder, seeds, 0.5),
}


@pytest.mark.parametrize("case", CASES)
def test_no_verdict_rests_on_fewer_than_three_seeds(tmp_path, case):
    """Each of these answers is given with three seeds, and left open, with the reason first, with two."""
    assert found(CASES[case](tmp_path / "three", SEEDS)).answer.lower() == case
    few = found(CASES[case](tmp_path / "two", SEEDS[:2]))
    assert few.answer == "Open"
    assert few.sentence.startswith("Fewer than three seeds a side, so no verdict: ")


def test_a_control_of_one_seed_leaves_the_verdict_open(tmp_path):
    paths = arms(tmp_path)
    paths.append(make_run(tmp_path / "prompt", "prompt", 1, [(10, 0.1, 0.0), (30, 0.5, 0.0)]))
    assert found(paths).answer == "Open"
