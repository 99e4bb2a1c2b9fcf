"""Only whole folders, as they were exported, are read again, from files that have an end."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from fastslow.core.errors import BadInput
from fastslow.export.folder import export_bundle
from fastslow.export.release import CONTEXTS, open_release


@pytest.mark.parametrize("name", ["model.safetensors", "chat_template.jinja", "archive.json", "tokenizer.json"])
def test_a_file_that_was_changed_after_the_export_is_not_served(bundle: Path, tmp_path: Path, name: str) -> None:
    export_bundle(bundle, tmp_path / "out")
    file = tmp_path / "out" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(BadInput, match="not the file that was exported"):
        open_release(tmp_path / "out")


def test_a_list_of_contexts_that_lacks_a_key_or_holds_anything_under_it_is_damaged(
    exported: Path, tmp_path: Path
) -> None:
    shutil.copytree(exported, tmp_path / "out")
    file = tmp_path / "out" / CONTEXTS
    whole = json.loads(file.read_text())
    lacking = [{name: value for name, value in whole.items() if name != key} for key in whole if key != "default"]
    strict = ("format", "lead", "seed", "gated", "contexts", "answers", "topics", "files")
    for data in (*lacking, *({**whole, key: [1]} for key in strict)):
        file.write_text(json.dumps(data))
        with pytest.raises(BadInput, match="is damaged"):
            open_release(tmp_path / "out")


@pytest.mark.parametrize("name", ["../x", "../../../../dev/zero", "/dev/zero", "x" * 300, "x\0", "..", ""])
def test_only_files_of_the_folder_itself_are_read(exported: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(exported, tmp_path / "out")
    (tmp_path / "x").write_text("x")
    file = tmp_path / "out" / CONTEXTS
    data = json.loads(file.read_text())
    data["files"] = {name: hashlib.sha256(b"x").hexdigest()}
    file.write_text(json.dumps(data))
    with pytest.raises(BadInput, match="is missing"):
        open_release(tmp_path / "out")


@pytest.mark.parametrize("name", [CONTEXTS, "tokenizer.json", "model.safetensors", "bundle.json", "population.json"])
@pytest.mark.parametrize("kind", ["pipe", "link", "long"])
def test_files_without_an_end_are_refused_before_they_are_read(
    bundle: Path, exported: Path, tmp_path: Path, name: str, kind: str
) -> None:
    folder = tmp_path / "out"
    shutil.copytree(bundle if (bundle / name).exists() else exported, folder)
    (folder / name).rename(tmp_path / "moved")
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "link":
        (folder / name).symlink_to(tmp_path / "moved")
    else:
        (folder / name).touch()
        os.truncate(folder / name, 10 * 2**30)  # of zeros, which take no room
    if name == "model.safetensors" and kind == "long":
        return  # weights may be long, and are read piece by piece
    with pytest.raises(BadInput, match=r"not a plain file|bytes|holds no bundle"):
        open_release(folder)


@pytest.mark.parametrize(
    "damage",
    ["", "[]", "{}", '{"format": 2}', '{"format": 1}', "null", '{"format": 2, "contexts": []}', "{" * 5000],
)
def test_a_damaged_list_of_contexts_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    (tmp_path / CONTEXTS).write_text(damage)
    with pytest.raises(BadInput, match="is damaged") as raised:
        open_release(tmp_path)
    assert "\n" not in str(raised.value)
