"""CSV files of a folder and of the hub are read as one file is: cell by cell as written, and no row is shifted."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets.packaged_modules.cache.cache import Cache

from fastslow.core.errors import BadInput
from fastslow.tasks.families.sources import load_hub, load_local
from fastslow.tasks.resolve import resolve_task

CELLS = ["None", "NA", "007", "1.50", "true"]
TEXT = "question,answer\n" + "".join(f"q{i},{cell}\n" for i, cell in enumerate(CELLS))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def hub(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the data set OWNER/NAME of a hub: `datasets` is sent to the folder with them."""
    for function in ("load_dataset", "load_dataset_builder"):
        real = getattr(datasets, function)

        def from_folder(_name: str, *args: Any, real: Any = real, cache_dir: Any = None, **options: Any) -> Any:
            return real(str(data), *args, cache_dir=cache_dir or str(tmp_path / "cache"), **options)

        monkeypatch.setattr(datasets, function, from_folder)
    return data


def refused(place: Path | str, split: str = "train") -> str:
    with pytest.raises(BadInput) as caught:
        load_local(str(place), "t", split) if isinstance(place, Path) else load_hub(place, "t", split=split)
    assert "\n" not in str(caught.value), "one line"
    return str(caught.value)


def answers(place: Path | str, split: str = "train") -> list[Any]:
    rows = load_local(str(place), "t", split) if isinstance(place, Path) else load_hub(place, "t", split=split)
    return [row["answer"] for _, row in rows.rows]


def test_the_csv_files_of_a_folder_are_read_as_a_csv_file_is(data: Path) -> None:
    (data / "train.csv").write_text(TEXT)
    assert load_local(str(data), "t").rows == load_local(str(data / "train.csv"), "t").rows
    assert answers(data) == CELLS
    (data / "train.csv").write_text("question,answer\nq0,1\nq1,\nq2,3\n")
    with pytest.raises(BadInput, match="row 2"):  # an empty cell is missing there too
        resolve_task(f"hf:{data}?question=question&answer=answer")


def test_a_data_set_of_the_hub_in_csv_is_read_as_written(hub: Path) -> None:
    (hub / "train.csv").write_text(TEXT)
    assert answers("owner/name") == CELLS


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param("What is 1?,one,x1\nWhat is 2?,two,x2\n", id="every row has one more, an index to pandas"),
        pytest.param("q0,0\nq1,1,x\n", id="one row has one more"),
        pytest.param("q0\nq1,1\n", id="one row has one fewer"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_row_with_more_or_fewer_fields_is_refused_wherever_it_comes_from(rows: str, packed: bool, hub: Path) -> None:
    text = f"question,answer\n{rows}"
    alone = hub / "train.csv"
    alone.write_text(text)
    said = refused(alone)
    assert "and the header 2; put fields with a comma" in said
    if packed:
        alone.unlink()
        (hub / "train.csv.gz").write_bytes(gzip.compress(text.encode()))
        said = said.replace("train.csv", "train.csv.gz")
    assert refused("owner/name") == said


def test_a_folder_refuses_ragged_rows_as_a_file_does(data: Path) -> None:
    (data / "train.csv").write_text("question,answer\nWhat is 1?,one,x1\n")
    assert refused(data) == refused(data / "train.csv")


def test_splits_their_shards_slices_and_sums_are_found_in_a_folder(data: Path) -> None:
    for name, cells in {"train-00000-of-00002": "ab", "train-00001-of-00002": "cd", "test-00000-of-00001": "e"}.items():
        (data / "data").mkdir(exist_ok=True)
        (data / f"data/{name}.csv").write_text("question,answer\n" + "".join(f"q{c},{c}\n" for c in cells))
    found = {split: "".join(answers(data, split)) for split in ("train", "test", "train[1:3]+test", "all")}
    assert found == {"train": "abcd", "test": "e", "train[1:3]+test": "bce", "all": "abcde"}
    assert "Unknown split" in refused(data, "dev")


def test_tabs_are_read_where_the_ending_says_so(data: Path) -> None:
    (data / "train.tsv").write_text(TEXT.replace(",", "\t"))
    assert answers(data) == CELLS
    (data / "train.tsv").write_text("question\tanswer\nq0\t0\t0\n")
    assert "put fields with a tab" in refused(data)
    (data / "train.tsv").write_text(TEXT)
    assert "are separated by commas; save it with tabs" in refused(data)


def test_a_readme_may_name_another_separator_and_nothing_more(data: Path) -> None:
    (data / "train.csv").write_text(TEXT.replace(",", ";"))
    readme = "---\nconfigs:\n- config_name: default\n  data_files: train.csv\n  sep: ';'\n"
    (data / "README.md").write_text(f"{readme}---\n")
    assert answers(data) == CELLS
    (data / "README.md").write_text(f"{readme}  skiprows: 1\n---\n")
    assert "says to read the CSV files with skiprows" in refused(data)


def test_csv_files_of_a_folder_are_not_streamed(data: Path) -> None:
    (data / "train.csv").write_text(TEXT)
    with pytest.raises(BadInput, match="cannot be streamed; leave streaming=1 out"):
        resolve_task(f"hf:{data}?streaming=1")


def test_the_copy_that_datasets_kept_of_csv_files_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "train.csv").write_text(TEXT)
    cache = str(tmp_path / "cache")
    builder = datasets.load_dataset_builder(str(data), cache_dir=cache)
    builder.download_and_prepare()
    config, version, kept = Path(builder.cache_dir).parts[-3:]

    def offline(*_args: Any, **_options: Any) -> Cache:
        return Cache(cache_dir=cache, dataset_name="data", config_name=config, version=version, hash=kept)

    monkeypatch.setattr(datasets, "load_dataset_builder", offline)
    assert "no longer has the cells as they were written; give a file" in refused("owner/name")


@pytest.mark.parametrize("text", ["", "question,answer\n"])
def test_a_folder_whose_csv_file_has_no_rows_is_refused(text: str, data: Path) -> None:
    (data / "train.csv").write_text(text)
    with pytest.raises(BadInput):
        resolve_task(f"hf:{data}?question=question&answer=answer")


def test_a_quoted_header_of_one_column_may_hold_a_comma(data: Path) -> None:
    (data / "train.csv").write_text('"Well, what?"\nq0\n')
    assert load_local(str(data / "train.csv"), "t").rows == [(1, {"Well, what?": "q0"})]
