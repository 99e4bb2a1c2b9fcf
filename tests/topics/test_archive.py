"""What a topic did best with is kept while it is away, comes back when it returns, and is chosen by the question."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig
from fastslow.contexts.context import Context, seed_context
from fastslow.contexts.population import Population
from fastslow.core.types import Example
from fastslow.evaluation.accuracy import right_topic
from fastslow.record.display import SilentDisplay
from fastslow.run.train import train
from fastslow.run.trainer import FastSlowTrainer
from fastslow.streams.labels import Labels
from fastslow.tasks.task_set import by_task
from fastslow.topics.archive import Archive
from fastslow.topics.clusters import Clusters
from fastslow.topics.topics import Topics
from tests.support.present import present
from tests.support.runs import WORDINGS, stream_settings
from tests.topics.test_clusters import Heaps, batches, heap

SEED = seed_context("")
GOOD = {task: Context({"instruction": f"good at {task}"}, (SEED.id,), "test") for task in "abc"}


def label(example: Example) -> str:
    return example.task


def scores(examples, *, good_at: dict[str, str]) -> dict[str, dict[str, float]]:
    """Each named context scores 1 on its task and 0 elsewhere; the seed context 0.5 everywhere."""
    table = {GOOD[c].id: {e.id: float(e.task == task) for e in examples} for c, task in good_at.items()}
    return {**table, SEED.id: {e.id: 0.5 for e in examples}}


def population(size: int = 2) -> Population:
    return Population(size=size, seed=SEED, known={c.id: c for c in GOOD.values()})


def labelled(archive: Archive) -> Topics:
    return Topics(Labels("visible", tasks="abc", seed=0), Batches([]), archive=archive)


class Batches:
    def __init__(self, made):
        self._made = made

    def batch(self, step: int):
        return self._made[step]


def test_the_best_of_each_topic_is_kept_while_it_is_away() -> None:
    archive = Archive()
    archive.keep(scores(heap("a", 0, 4), good_at={"a": "a"}), heap("a", 0, 4), label, policy_version=0)
    archive.keep(scores(heap("b", 0, 4), good_at={"b": "b"}), heap("b", 0, 4), label, policy_version=6)
    assert {topic: entry.ranked[0] for topic, entry in archive.entries.items()} == {
        "a": GOOD["a"].id,
        "b": GOOD["b"].id,
    }
    assert archive.entries["a"].policy_version == 0


def test_a_phase_on_several_topics_ranks_each_by_its_own_examples() -> None:
    archive, anchor = Archive(), [*heap("a", 0, 3), *heap("b", 0, 3)]
    archive.keep(scores(anchor, good_at={"a": "a", "b": "b"}), anchor, label, policy_version=0)
    assert archive.entries["a"].ranked == [GOOD["a"].id, SEED.id, GOOD["b"].id]
    assert archive.entries["b"].ranked == [GOOD["b"].id, SEED.id, GOOD["a"].id]
    assert archive.recall(["a", "b"], 3) == [GOOD["a"].id, GOOD["b"].id, SEED.id]
    assert archive.recall(["b", "c"], 1) == [GOOD["b"].id]
    assert archive.recall(["c"], 4) == []


def test_what_did_well_is_not_pushed_out_unheard() -> None:
    archive, anchor = Archive(), heap("a", 0, 4)
    archive.keep(scores(anchor, good_at={"a": "a"}), anchor, label, policy_version=0)
    archive.keep(scores(anchor, good_at={"b": "b"}), anchor, label, policy_version=6)
    assert archive.entries["a"].ranked[0] == GOOD["a"].id, "the phase had not scored it"
    archive.keep(scores(anchor, good_at={"a": "b", "b": "a"}), anchor, label, policy_version=12)
    assert archive.entries["a"].ranked[0] == GOOD["b"].id, "this one had, and found a better one"
    assert archive.entries["a"].policy_version == 12


def test_a_topic_with_one_example_leans_on_the_others() -> None:
    archive, anchor = Archive(), [*heap("a", 0, 1), *heap("b", 0, 7)]
    lucky, steady = GOOD["a"].id, GOOD["b"].id
    table = {lucky: {e.id: float(e.task == "a") for e in anchor}, steady: {e.id: float(e.task == "b") for e in anchor}}
    archive.keep(table, anchor, label, policy_version=0)
    assert archive.entries["a"].ranked[0] == steady, "one right answer against seven"


def test_slow_steps_tell_which_context_has_become_better() -> None:
    archive, anchor = Archive(), heap("a", 0, 4)
    archive.keep(scores(anchor, good_at={"a": "a", "b": "b"}), anchor, label, policy_version=0)
    slots = [GOOD["a"].id, GOOD["b"].id] * 2
    for _ in range(4):
        archive.note("a", slots, [0.0, 1.0, 0.0, None])
        archive.note("a", slots, [1.0, None, 1.0, None])  # nobody to compare with
        archive.note("c", slots, [1.0, 1.0, 1.0, 1.0])
    assert archive.entries["a"].ranked[0] == GOOD["a"].id, "four times half against four and the anchor set's weight"
    for _ in range(20):
        archive.note("a", slots, [0.0, 1.0, 0.0, 1.0])
    assert archive.entries["a"].ranked == [GOOD["b"].id, SEED.id, GOOD["a"].id]
    assert list(archive.entries) == ["a"]


def test_what_all_rollouts_say_ranks_before_an_anchor_set() -> None:
    archive, anchor = Archive(), heap("a", 0, 4)
    archive.keep(scores(anchor, good_at={"a": "a"}), anchor, label, policy_version=0)
    archive.weigh("a", {SEED.id: 0.6, GOOD["a"].id: 0.5})
    archive.weigh("a", {})
    archive.weigh("never met", {SEED.id: 1.0})
    assert archive.entries["a"].ranked == [SEED.id, GOOD["a"].id], "the seed had a single one of the anchor's answers"
    assert Archive.from_json(json.loads(json.dumps(archive.to_json()))).entries["a"].ranked[0] == SEED.id
    archive.keep_only([GOOD["a"].id])
    assert archive.entries["a"].ranked == [GOOD["a"].id]
    archive.keep(scores(anchor, good_at={"a": "a"}), anchor, label, policy_version=6)
    assert archive.entries["a"].levels == {}, "another phase is another beginning"


def test_a_topic_that_returns_is_started_from_its_own_contexts() -> None:
    topics, a, b = labelled(Archive()), heap("a", 0, 4), heap("b", 0, 4)
    topics.keep(scores(a, good_at={"a": "a", "c": "a"}), a, policy_version=0)
    topics.keep(scores(b, good_at={"b": "b"}), b, policy_version=6)
    now = population(3).starting_from([GOOD["b"]])
    assert [c.id for c in topics.recalled(now, heap("c", 0, 4)).members] == [GOOD["b"].id, SEED.id], "nothing known"
    back = topics.recalled(now, a)
    assert back.members[0].id == present(topics.archive).entries["a"].ranked[0]
    assert {c.id for c in back.members} == {GOOD["a"].id, GOOD["c"].id, SEED.id}
    both = topics.recalled(now, [*a, *b])
    assert [c.id for c in both.members[:2]] == [present(topics.archive).entries["a"].ranked[0], GOOD["b"].id], (
        "the best of each comes first"
    )


def test_an_anchor_set_has_examples_of_every_topic_at_hand() -> None:
    ahead = [*heap("a", 0, 6), *heap("b", 0, 2), *heap("c", 0, 6)]
    assert [e.id for e in labelled(Archive()).anchor(ahead, 7)] == ["a0", "b0", "c0", "a1", "b1", "c1", "a2"]
    plain = Topics(Labels("visible", tasks="abc", seed=0), Batches([]))
    assert plain.anchor(ahead, 7) == ahead[:7], "without contexts of their own, as they come"


def test_a_split_divides_what_was_kept() -> None:
    archive, anchor = Archive(), [*heap("a", 0, 3), *heap("b", 0, 3)]
    archive.keep(scores(anchor, good_at={"a": "a", "b": "b"}), anchor, lambda e: "c0", policy_version=0)
    archive.divide(lambda e: "c0" if e.task == "a" else "c1")
    assert (archive.entries["c0"].ranked[0], archive.entries["c1"].ranked[0]) == (GOOD["a"].id, GOOD["b"].id)
    assert set(archive.entries["c1"].examples) == {"b0", "b1", "b2"}


def test_an_archive_is_the_same_after_json() -> None:
    archive, anchor = Archive(), [*heap("a", 0, 3), *heap("b", 0, 3)]
    archive.keep(scores(anchor, good_at={"a": "a", "b": "b"}), anchor, label, policy_version=4)
    again = Archive.from_json(json.loads(json.dumps(archive.to_json())))
    assert again.to_json() == archive.to_json()
    assert again.recall(["b", "a"], 3) == archive.recall(["b", "a"], 3)


def test_contexts_are_chosen_by_the_question() -> None:
    made = batches([*heap("a", 0, 16), *heap("b", 100, 16)], 8)
    topics = Topics(Labels("hidden", tasks="ab", seed=0), Batches(made), Clusters(Heaps()), Archive())
    list(topics.observe(4))
    for some, name in ((made[0], "a"), (made[2], "b")):
        topics.keep(scores(some, good_at={name: name}), some, policy_version=0)
    kept = population()
    for kind in topics.kinds:
        chosen = {task: topics.choose(kind, kept, heap(task, 900, 1)[0]).id for task in "ab"}
        assert chosen == {task: GOOD[task].id for task in "ab"}, kind
    assert topics.owners() == {"c0": "a", "c1": "b"}


def test_nearest_looks_at_the_most_similar_scored_questions_only() -> None:
    """Within one topic, b wins on most examples and a on the few that are most like the question."""
    made = [heap("a", 0, 16)]
    topics = Topics(Labels("hidden", tasks="a", seed=0), Batches(made), Clusters(Heaps(0.5)), Archive())
    list(topics.observe(1))
    asked = heap("a", 900, 1)[0]
    distances = ((present(topics.clusters).vectors(made[0]) - present(topics.clusters).vectors([asked])) ** 2).sum(1)
    near = {made[0][i].id for i in distances.argsort()[:5]}
    table = {
        GOOD["a"].id: {e.id: float(e.id in near) for e in made[0]},
        GOOD["b"].id: {e.id: float(e.id not in near) for e in made[0]},
    }
    topics.keep(table, made[0], policy_version=0)
    assert topics.choose("cluster", population(), asked).id == GOOD["b"].id
    assert topics.choose("nearest", population(), asked).id == GOOD["a"].id


def test_of_what_nothing_is_known_the_lead_is_chosen() -> None:
    topics = labelled(Archive())
    kept = population().starting_from([GOOD["c"]])
    assert topics.choose("cluster", kept, heap("a", 0, 1)[0]) == GOOD["c"]
    assert topics.kinds == ["cluster"]
    assert Topics(Labels("visible", tasks="a", seed=0), Batches([])).kinds == []


def test_no_topic_is_right_or_wrong_for_a_task_that_was_never_met() -> None:
    made = batches([*heap("a", 0, 16), *heap("b", 100, 16)], 8)
    topics = Topics(Labels("hidden", tasks="ab", seed=0), Batches(made), Clusters(Heaps()), Archive())
    list(topics.observe(4))
    topics.keep(scores(made[0], good_at={"a": "a"}), made[0], policy_version=0)
    asked = {task: heap(task, 900, 3) for task in "ab"}

    right = partial(right_topic, topics)
    assert (right(asked["a"]), right(asked["b"]), right(asked["a"] + asked["b"])) == (1.0, None, 1.0)
    topics.keep(scores(made[2], good_at={"b": "b"}), made[2], policy_version=0)
    assert (right(asked["a"]), right(asked["b"])) == (1.0, 1.0)
    mixed = [*made[0], *heap("b", 500, 2)]
    topics.keep(scores(mixed, good_at={"a": "a"}), mixed, policy_version=1)
    present(topics.archive).entries = {
        "c0": replace(present(topics.archive).entries["c0"], examples={e.id: e for e in mixed})
    }
    assert right(asked["b"]) == 0.0, "a task that shares a larger one's topic is in the wrong one"


# Whole runs


def run(folder: Path, **overrides: Any) -> tuple[Path, dict[str, Any]]:
    config = FastSlowConfig(**stream_settings(folder, **overrides))
    summary = train(config, display=SilentDisplay())
    return Path(str(config.output_dir)), summary


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is told no labels and finds no topics of its own."""
    return run(tmp_path_factory.mktemp("hidden"), labels="hidden")[0]


@pytest.fixture(scope="module")
def inferred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("inferred"), labels="hidden", clusters="inferred")[0]


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("noisy"), labels="noisy:0.5", clusters="labels", eval_temperature=1.0)[0]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def seeds(path: Path) -> list[dict[str, Any]]:
    return [row for row in lines(path / "evals.jsonl") if row["context"] == "seed"]


@pytest.mark.parametrize(
    "stream", ["sequence", "recur:2", "interleave:1", "mixture:0.5,0.3,0.2", "drift", "overlap:0.3"]
)
def test_a_run_on_every_stream_without_labels(tmp_path: Path, stream: str) -> None:
    path, summary = run(tmp_path, stream=stream, stage_steps=1, labels="hidden", clusters="inferred", save_bundle=False)
    assert summary["status"] == "done"
    assert summary["steps"] == (6 if stream == "recur:2" else 3)
    routes = lines(path / "routes.jsonl")
    assert all(row["topic"].startswith("c") and row["task"].startswith("jsonl:") for row in routes)
    by_cluster: dict[str, set[str]] = {}
    for row in routes:
        by_cluster.setdefault(row["topic"], set()).add(row["task"])
    if stream == "recur:2":
        assert [len(tasks) for tasks in by_cluster.values()] == [1, 1, 1], by_cluster
    kinds = {row["context"] for row in lines(path / "evals.jsonl")}
    assert kinds == {"seed", "lead", "mean", "cluster", "nearest"}
    chosen = [row for row in lines(path / "evals.jsonl") if row["context"] == "cluster"]
    assert all(row["gain_low"] <= row["gain"] <= row["gain_high"] for row in chosen)
    assert all(row["right_topic"] is None or 0 <= row["right_topic"] <= 1 for row in chosen)
    contexts = {row["id"] for row in lines(path / "contexts.jsonl")} | {row["context_id"] for row in seeds(path)}
    assert all(sum(row["chosen"].values()) == row["n"] and set(row["chosen"]) <= contexts for row in chosen)
    assert summary["accuracy"]["cluster"] is not None
    seen = [row for row in lines(path / "metrics.jsonl") if row["phase"] == "clusters"]
    assert [row["batch"] for row in seen] == list(range(len(seen))), "every batch once, in order"
    assert set(json.loads((path / "archive.json").read_text())) <= set(by_cluster) | {"c0", "c1", "c2", "c3"}


@pytest.mark.parametrize("lead", ["anchor", "evidence"])
def test_a_task_that_returns_is_started_from_what_it_had(tmp_path: Path, lead: str) -> None:
    """Two rounds of three tasks, a cycle each: the fourth phase carries the best context of the first."""
    settings = stream_settings(
        tmp_path,
        stream="recur:2",
        stage_steps=2,
        slow_steps_per_cycle=2,
        clusters="labels",
        population_size=2,
        lead=lead,
    )
    trainer = FastSlowTrainer(FastSlowConfig(**settings))
    carried, best = [], []
    fast_evolve = trainer.parts.fast.evolve

    def spy(population: Population, **arguments: Any):
        carried.append([c.id for c in population.carried])
        best.append({g: trainer.topics.archive.entries[g].ranked[0] for g in trainer.topics.archive.entries})
        return fast_evolve(population, **arguments)

    trainer.parts.fast.evolve = spy  # type: ignore[method-assign]
    trainer.train()
    names = list(by_task(trainer.parts.task, trainer.parts.task.split("validation")))
    assert len(carried) == 6
    for task, phase in enumerate(range(3, 6)):
        kept = best[phase][names[task]]
        assert kept in carried[phase], "what the task had was not recalled"
        assert kept == best[task + 1][names[task]], "and nothing had pushed it out meanwhile"
    away = [trainer.topics.archive.entries[name] for name in names[:2]]
    assert [bool(entry.levels) for entry in away] == [lead == "evidence"] * 2, "written down before the stream went on"


def test_hidden_labels_reach_neither_channel_nor_router(hidden: Path, tmp_path: Path) -> None:
    assert {row["topic"] for row in lines(hidden / "routes.jsonl")} == {""}
    trainer = FastSlowTrainer(FastSlowConfig(**stream_settings(tmp_path, labels="hidden")))
    first = trainer.parts.stream.batch(0)
    worked = trainer.topics.demonstrations(first, until=1)
    assert {w.question for w in worked} <= {e.question for e in first}, "an example was shown before it had arrived"


def test_noisy_labels_reach_the_learner_and_not_the_scorer(noisy: Path) -> None:
    routes = lines(noisy / "routes.jsonl")
    wrong = sum(row["topic"] != row["task"] for row in routes) / len(routes)
    assert 0.1 < wrong < 0.9
    assert all(reward is not None for row in routes for reward in row["rewards"])
    assert len(json.loads((noisy / "summary.json").read_text())["tasks"]) == len(WORDINGS)


def test_eval_draws_the_labels_that_the_run_drew(noisy: Path, tmp_path: Path) -> None:
    """Labels are wrong by example, so a bundle has the ids of its run; so its samples are the same."""
    out = tmp_path / "rows.json"
    call = ["eval", str(noisy), "--contexts", "lead,cluster", "--kl_examples", "0", "--json", str(out), "--trust_task"]
    assert main(call) == 0
    now = [r for r in json.loads(out.read_text()) if r["weights"] == "trained"]
    last = {(r["task"], r["context"]): r for r in lines(noisy / "evals.jsonl") if r["weights"] == "trained"}
    for row in now:
        before = last[row["task"], row["context"]]
        assert row["accuracy"] == pytest.approx(before["accuracy"])
        assert row.get("chosen") == before.get("chosen")


def test_eval_knows_a_task_of_the_run_by_another_spelling(
    inferred: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = json.loads((inferred / "bundle" / "bundle.json").read_text())["settings"]["tasks"][0]
    monkeypatch.chdir(inferred.parent)  # where the files of its tasks lie
    found = []
    for name in (named, f"jsonl:./sums.jsonl?{named.partition('?')[2]}"):
        flags = [
            "--tasks",
            name,
            "--contexts",
            "lead,cluster",
            "--kl_examples",
            "0",
            "--json",
            str(tmp_path / "r.json"),
        ]
        assert main(["eval", str(inferred), *flags]) == 0
        found.append(json.loads((tmp_path / "r.json").read_text()))
    assert found[0] == found[1]


def test_retention_is_judged_by_the_context_that_is_shipped(tmp_path: Path) -> None:
    settings = stream_settings(tmp_path, clusters="inferred", eval_strategy="steps", eval_steps=2, retention_floor=0.9)
    trainer = FastSlowTrainer(FastSlowConfig(**settings))
    judged = []
    steering: Any = trainer.steering
    judge = steering.judge
    steering.judge = lambda step, rows, context: judged.append(context) or judge(step, rows, context)
    trainer.train()
    assert set(judged) == {"cluster"}


def test_eval_chooses_contexts_from_a_bundle_as_its_run_did(inferred: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "rows.json"
    call = ["eval", str(inferred), "--contexts", "lead,cluster,nearest", "--kl_examples", "0", "--json", str(out)]
    assert main([*call, "--trust_task"]) == 0
    now = {(r["task"], r["context"]): r["accuracy"] for r in json.loads(out.read_text()) if r["weights"] == "trained"}
    last = {(r["task"], r["context"]): r for r in lines(inferred / "evals.jsonl") if r["weights"] == "trained"}
    assert now
    for key, accuracy in now.items():
        assert accuracy == pytest.approx(last[key]["accuracy"]), key
    assert "gain over lead" in capsys.readouterr().out


def test_a_bundle_without_an_archive_has_nothing_to_choose_from(hidden: Path, capsys) -> None:
    assert main(["eval", str(hidden), "--contexts", "cluster", "--trust_task"]) == 2
    assert "this run's had none" in capsys.readouterr().err
