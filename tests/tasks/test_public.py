"""`polaris`, `physics` and `hf`: their samples, their loaders on small files of the public schemas, their feedback."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import re
from pathlib import Path
from typing import cast

import datasets
import pytest

from fastslow.core.errors import BadInput
from fastslow.core.types import Split
from fastslow.tasks.families.rows import RowsTask
from fastslow.tasks.resolve import resolve_task
from tests.support.hub import parquet_builder

SPLITS = ("train", "validation", "test")
SAMPLES = ("polaris?path=sample", "physics?path=sample")
MANIFEST = {"polaris?path=sample": "6efcd5b215faa0d0", "physics?path=sample": "085e741b9cf3ea5d"}
POLARIS = [{"difficulty": f"{i % 8}/8", "problem": f"What is ${i} + {i}$?", "answer": str(2 * i)} for i in range(1, 21)]
PHYSICS = [
    {
        "prompt": {"default": "Choose."},
        "question": f"Which force moves {i} kg at 1 m/s^2?",
        "answer": "",
        "type": "mcq-4-choices",
        "domain": "Physics",
        "details": {"level": "L3" if i % 2 else "L1", "task": "t", "subtask": "s", "source": "x"},
        "answerKey": "ABCD"[i % 4],
        "choices": {"text": [f"{i + k} N" for k in range(4)], "label": ["A", "B", "C", "D"]},
    }
    for i in range(1, 21)
]


def write(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".parquet":
        datasets.Dataset.from_list(rows).to_parquet(str(path))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    else:
        listed = path.suffix == ".json"
        path.write_text(json.dumps(rows) if listed else "".join(json.dumps(row) + "\n" for row in rows))
    return path


def every(task):
    return [example for split in SPLITS for example in task.split(split)]


def refused(spec: str) -> str:
    with pytest.raises(BadInput) as caught:
        resolve_task(spec)
    assert "\n" not in str(caught.value), "one line"
    return str(caught.value)


def corrupted(gold: str) -> str:
    """Another answer: the letter or the last digit moved on by one."""
    if "<answer>" in gold:
        return re.sub("[ABCD](?=<)", lambda m: "ABCD"[("ABCD".index(m[0]) + 1) % 4], gold)
    at = max((m.start() for m in re.finditer(r"[0-9]", gold)), default=None)
    if at is None:
        return gold.replace("{", "{17+", 1)
    return gold[:at] + str((int(gold[at]) + 1) % 10) + gold[at + 1 :]


@pytest.mark.parametrize("name", SAMPLES)
def test_200_right_answers_score_one_and_200_wrong_ones_less_with_feedback(name):
    task = resolve_task(name)
    examples = every(task)
    assert len(examples) >= 200
    for example in examples:
        gold = task.answer(example)
        assert gold is not None, f"the answer of {example.question!r} is not accepted"
        verdict = task.score(example, f"Let me think. It is clear.\n{corrupted(gold)}")
        assert verdict.reward == 0.0, f"{corrupted(gold)} is accepted for {gold}"
        assert "got '" in verdict.feedback, verdict.feedback
        assert ("The right answer is" in verdict.feedback) == (example.split == "train")


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_the_same_everywhere_and_its_questions_differ(name):
    first, second = every(resolve_task(name)), every(resolve_task(name))
    assert [e.id for e in first] == [e.id for e in second]
    assert len({e.question for e in first}) == len(first)
    digest = hashlib.sha256(" ".join(f"{e.split}:{e.id}" for e in first).encode()).hexdigest()[:16]
    assert digest == MANIFEST[name], "a change of the sample changes everybody's splits"


def test_the_three_defects_of_mathematics_have_feedback_of_their_own():
    task = resolve_task("polaris?path=sample")
    shown: dict[Split, bool] = {"train": True, "validation": False, "test": False}
    for split, shows in shown.items():
        example = task.split(split)[0]
        gold = example.payload["row"]["answer"]
        for completion, said in (
            ("I am not sure.", "No answer given"),
            ("\\boxed{12+}", "Unparsable answer: '12+'"),
            ("\\boxed{987654321}", "Wrong value: got '987654321'"),
        ):
            verdict = task.score(example, completion)
            assert said in verdict.feedback
            assert (f"The right answer is '{gold}'." in verdict.feedback) == shows


def test_physics_asks_with_four_options_and_takes_tagged_letters_only():
    task = resolve_task("physics?path=sample")
    example = task.split("train")[0]
    assert re.search(r"\n\nA\. .+\nB\. .+\nC\. .+\nD\. .+\n\nReply with the letter", example.question)
    gold = example.payload["row"]["answer"]
    assert task.score(example, gold).feedback.startswith("No answer given: there are no <answer> tags")
    assert task.score(example, f"<answer>{gold.lower()}</answer>").reward == 1.0


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".parquet", ".csv"])
def test_polaris_reads_a_download(ending, tmp_path):
    task = resolve_task(f"polaris?path={write(tmp_path / f'polaris{ending}', POLARIS)}", train_size=10)
    assert [len(task.split(split)) for split in SPLITS] == [10, 4, 4]
    example = task.split("train")[0]
    assert example.question.endswith("Put the final answer inside \\boxed{}.")
    assert re.fullmatch(r"\\boxed\{\d+\}", task.answer(example) or "")


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".parquet"])
def test_physics_reads_a_download_and_counts_what_it_leaves_out(ending, tmp_path, caplog):
    rows = [
        *PHYSICS,
        {**PHYSICS[0], "domain": "Biology"},
        {**PHYSICS[0], "type": "true_or_false"},
        {**PHYSICS[0], "answerKey": "AB"},
        {**PHYSICS[0], "choices": {"text": ["1", "2", "3"], "label": ["A", "B", "C"]}},
    ]
    path = write(tmp_path / f"physics{ending}", rows)
    with caplog.at_level(logging.WARNING):
        task = resolve_task(f"physics?path={path}")
    assert len(every(task)) == 20
    assert cast(RowsTask, task).dropped == {
        "of another domain": 1,
        "of another type than four options": 1,
        "whose answerKey is none of the options": 1,
        "without four options A to D": 1,
    }
    assert "left out 1 row: of another domain" in caplog.text
    assert len(every(resolve_task(f"physics?path={path}&level=L3"))) == 10


def test_damaged_rows_of_the_papers_data_are_left_out_and_counted(tmp_path):
    eaten = "with a control character where a command was meant"
    rows = [
        *POLARIS,
        {**POLARIS[0], "answer": "\frac{1}{7}"},
        {**POLARIS[0], "problem": "What is $3 \times 4$?"},
        {**POLARIS[0], "answer": float("nan")},
        {**POLARIS[0], "answer": None},
        {**POLARIS[0], "answer": ["2"]},
    ]
    task = cast(RowsTask, resolve_task(f"polaris?path={write(tmp_path / 'polaris.jsonl', rows)}"))
    assert task.dropped == {eaten: 2, "whose answer is empty": 3}
    rows = [*PHYSICS, {**PHYSICS[0], "question": "How large is \beta?"}]
    task = cast(RowsTask, resolve_task(f"physics?path={write(tmp_path / 'physics.jsonl', rows)}"))
    assert task.dropped == {eaten: 1}


def test_without_a_path_the_hub_is_asked_for_the_public_data_set(monkeypatch):
    asked = []

    def load_dataset(name, config=None, *, split, cache_dir=None):
        asked.append((name, config, split))
        return datasets.Dataset.from_list(PHYSICS if "Sci" in name else POLARIS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets, "load_dataset_builder", parquet_builder)
    assert len(every(resolve_task("polaris"))) == len(every(resolve_task("physics?config=v2"))) == 20
    resolve_task("hf:someone/sums?question=problem&answer=answer&scorer=boxed&split=train")
    assert asked == [
        ("POLARIS-Project/Polaris-Dataset-53K", None, "train"),
        ("hicai-zju/SciKnowEval", "v2", "test"),
        ("someone/sums", None, "train"),
    ]


def test_a_hub_that_cannot_be_reached_is_told_in_one_line(monkeypatch):
    def load_dataset_builder(*_args, **_options):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(datasets, "load_dataset_builder", load_dataset_builder)
    said = refused("polaris")
    assert "no route to host" in said
    assert "give a file that was downloaded before as ?path=FILE, or use ?path=sample" in said


def test_a_data_set_of_ones_own_is_read_from_files_and_folders(tmp_path):
    query = "?question=problem&answer=answer&scorer=number"
    split = datasets.Dataset.from_list([{**row, "id": 1, "split": "x"} for row in POLARIS])
    split.save_to_disk(str(tmp_path / "saved"))
    datasets.DatasetDict({"main": split}).save_to_disk(str(tmp_path / "dict"))
    (tmp_path / "files").mkdir()
    write(tmp_path / "files" / "train.jsonl", POLARIS)
    specs = ["saved" + query, "dict" + query + "&split=main", "files" + query]
    specs += [write(tmp_path / f"one{ending}", POLARIS).name + query for ending in (".csv", ".jsonl", ".parquet")]
    for spec in specs:
        task = resolve_task(f"hf:{tmp_path}/{spec}")
        assert [len(task.split(part)) for part in SPLITS] == [12, 4, 4], spec
        assert all(task.answer(example) for example in every(task)), spec
    assert "no split 'mian'. Did you mean 'main'?" in refused(f"hf:{tmp_path}/dict{query}&split=mian")


def test_a_named_scorer_serves_a_jsonl_file_as_well(tmp_path):
    rows = [{"question": f"Pair {i}?", "answer": [i, {"half": i / 2}]} for i in range(10)]
    task = resolve_task(f"jsonl:{write(tmp_path / 'pairs.jsonl', rows)}?scorer=json")
    train, held_out = task.split("train")[0], task.split("test")[0]
    assert task.score(train, task.answer(train) or "").reward == 1.0
    assert "At $: wrong type" in task.score(train, "{}").feedback
    assert task.score(held_out, "{}").feedback == "Wrong value: got '{}'."


def test_a_users_mistakes_are_refused_in_one_line(tmp_path, monkeypatch):
    good = write(tmp_path / "good.jsonl", POLARIS)
    misspelt = write(tmp_path / "bad.jsonl", [POLARIS[0], {"problme": "?", "answer": "1"}])
    empty = tmp_path / "empty.csv"
    empty.write_text("problem,answer\n")
    (tmp_path / "no.parquet").write_text("text")
    monkeypatch.setattr(datasets, "load_dataset_builder", None)  # nothing here may look at the network
    said = {
        f"polaris?pth={good}": "no parameter 'pth'. Did you mean 'path'?",
        "polaris:sample": "write polaris?path=FILE",
        f"polaris?path={tmp_path}/none.jsonl": "there is no",
        f"polaris?path={misspelt}": "line 2 has no column 'problem'. Did you mean 'problme'?",
        f"polaris?path={good}&config=a": "has no configurations",
        f"polaris?path={empty}": "has no rows",
        f"polaris?path={tmp_path}/no.parquet": "is not a Parquet file",
        f"physics?path={good}": "line 1 has no column 'question'",
        f"physics?path={good}&level=L9": "there is no level 'L9'",
        f"hf:{good}?question=problem&answer=answer&scorer=nubmer": "Did you mean 'number'?",
        f"hf:{good}?question=problem&answr=answer": "no parameter 'answr'. Did you mean 'answer'?",
        f"hf:{good}?question=problm&answer=answer": "no column 'problm'. Did you mean 'problem'?",
        f"hf:{good}?question=problem&answer=anser&scorer=number": "has the column 'anser'. Did you mean 'answer'?",
        f"hf:{good}?question=problem&split=test": "a file has no splits",
        f"hf:{good}?question=answer&answer=problem&scorer=number": "'problem' is not a number",
        "hf:data/nowhere.jsonl?question=a": "there is no file 'data/nowhere.jsonl'",
        f"jsonl:{good}?question=problem&scorer=jsn": "Did you mean 'json'?",
    }
    for spec, part in said.items():
        assert part in refused(spec), spec
    (tmp_path / "x.xlsx").write_text("")
    assert "by its ending" in refused(f"polaris?path={tmp_path}/x.xlsx")
