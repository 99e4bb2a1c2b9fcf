"""Who was made of whom, and which proposer earned what."""

from __future__ import annotations

from fastslow.report.questions.lineage import earned, lineage
from fastslow.report.reading.data import load_run
from tests.report.runs import FST, make_run, write_lines


def proposal(name, parent, *, accepted=True, before=0.0, after=1.0, proposer="mixed", step=0):
    return {
        "step": step, "id": name, "parents": [parent], "proposer": proposer, "component": "instruction",
        "components": {"instruction": name}, "accepted": accepted, "minibatch_scores": {"e": after},
        "parent_minibatch_scores": {"e": before}, "anchor_scores": {"e": 0.5},
    }  # fmt: skip


def run_of(folder, rows):
    make_run(folder, "fst", 1, FST)
    write_lines(folder / "contexts.jsonl", rows)
    return load_run(folder)


def test_parents_come_before_children_and_refused_proposals_are_left_out(tmp_path) -> None:
    rows = [proposal("a", "seed"), proposal("b", "a", step=5), proposal("c", "a", accepted=False)]
    found = lineage(run_of(tmp_path / "run", rows), limit=10)
    assert [(node.id, node.depth, node.step) for node in found.nodes] == [("a", 0, 0), ("b", 1, 5)]
    assert (found.nodes[1].gain, found.nodes[1].anchor, found.left_out) == (1.0, 0.5, 0)


def test_a_circle_of_parents_is_shown_once(tmp_path) -> None:
    found = lineage(run_of(tmp_path / "run", [proposal("a", "b"), proposal("b", "a")]), limit=10)
    assert sorted(node.id for node in found.nodes) == ["a", "b"]


def test_a_proposal_without_a_rollout_is_refused_unseen_and_earns_nothing(tmp_path) -> None:
    unseen = {**proposal("b", "seed", accepted=False, proposer="reflection"), "minibatch_scores": {}}
    first, second = earned([run_of(tmp_path / "run", [proposal("a", "seed", before=0.25), unseen])])
    assert (first.proposer, first.accepted, first.gain) == ("mixed", 1, 0.75)
    assert (second.proposer, second.proposed, second.refused, second.gain) == ("reflection", 1, 1, 0.0)
