"""An exported folder is whole, loads anywhere, and answers as the bundle did; otherwise there is none."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from fastslow.bundles.bundle import open_bundle
from fastslow.bundles.digest import bundle_digest
from fastslow.cli.main import main
from fastslow.core.errors import BadInput
from fastslow.export import folder as folder_module
from fastslow.export.folder import ExportSettings, export_bundle
from fastslow.export.release import CONTEXTS, open_release
from tests.support.runs import WORDINGS
from tests.support.shipped import CONTEXTS as FOUR
from tests.support.shipped import a_context, asked, make_bundle
from tests.support.tiny import tiny_model, tiny_tokenizer


def edited(bundle: Path, folder: Path, file: str, **changes: Any) -> Path:
    """A copy of the bundle in which a file of JSON was edited by hand."""
    shutil.copytree(bundle, folder / "edited")
    path = folder / "edited" / file
    data = json.loads(path.read_text())
    (data["settings"] if file == "bundle.json" else data).update(changes)
    path.write_text(json.dumps(data))
    return folder / "edited"


def with_adapters(base: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    return model.eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.arange(1, 40)[None]).logits


def test_the_folder_holds_the_weights_the_contexts_and_nothing_of_this_machine(bundle: Path, tmp_path: Path) -> None:
    done = export_bundle(bundle, tmp_path / "out")
    assert (done.contexts, done.adapters) == (4, False)
    assert done.compared >= 100
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert torch.equal(logits(loaded), logits(open_bundle(bundle).model))
    assert len({path.stat().st_mode for path in (tmp_path / "out").iterdir()}) == 1, "weights too are for every reader"
    texts = [path.read_bytes() for path in (tmp_path / "out").iterdir() if path.suffix in (".json", ".md", ".jinja")]
    assert not [text for text in texts if str(bundle.parent).encode() in text]


def test_the_page_asks_it_with_transformers_alone(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export_bundle(bundle, tmp_path / "exported")
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs/export.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    made: dict[str, Any] = {}
    exec(code, made)
    sent = made["tokenizer"].decode(made["prompt"]["input_ids"][0])
    assert FOUR[0].components["instruction"] in sent, "that of the lead"
    assert "What is 6 * 7?" in sent
    assert len(made["answer"]) >= 1
    assert capsys.readouterr().out.strip() == made["tokenizer"].decode(made["answer"], skip_special_tokens=True).strip()


def test_a_server_samples_as_an_evaluation_does(tmp_path: Path) -> None:
    made = make_bundle(tmp_path, eval_temperature=0.7, eval_top_p=0.9, max_completion_length=7)
    export_bundle(made, tmp_path / "out")
    config = GenerationConfig.from_pretrained(str(tmp_path / "out"))
    assert (config.do_sample, config.temperature, config.top_p, config.top_k, config.max_new_tokens) == (
        True,
        0.7,
        0.9,
        0,
        7,
    )
    assert tiny_tokenizer().eos_token_id in config.eos_token_id  # type: ignore[operator]


def test_the_release_chooses_contexts_as_the_bundle_does(bundle: Path, tmp_path: Path) -> None:
    export_bundle(bundle, tmp_path / "out")
    ours, theirs = open_release(bundle, choosing=True), open_release(tmp_path / "out", choosing=True)
    assert ours.version == theirs.version == bundle_digest(bundle)[:12]
    assert ours.topics is not None
    assert theirs.topics is not None
    for task in WORDINGS:
        for kind in ("cluster", "nearest"):
            example = asked(task, 99)
            chosen = theirs.topics.choose(kind, theirs.population, example)
            assert chosen.id == ours.topics.choose(kind, ours.population, example).id


def test_the_lead_alone_takes_no_question_of_the_training_along(bundle: Path, tmp_path: Path) -> None:
    export_bundle(bundle, tmp_path / "out", ExportSettings(contexts="lead"))
    assert [one["id"] for one in json.loads((tmp_path / "out" / CONTEXTS).read_text())["contexts"]] == [FOUR[0].id]
    assert not list((tmp_path / "out").glob("archive*"))
    with pytest.raises(BadInput, match="holds no topics"):
        open_release(tmp_path / "out", choosing=True)


def test_merged_adapters_answer_as_adapters_on_their_base(tmp_path: Path) -> None:
    made = make_bundle(tmp_path, model=with_adapters(tiny_model(tiny_tokenizer())))
    assert export_bundle(made, tmp_path / "adapters").adapters
    assert not export_bundle(made, tmp_path / "merged", ExportSettings(merge=True)).adapters
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    of_bundle = logits(open_bundle(made).model)
    assert torch.allclose(logits(merged), of_bundle, atol=1e-5)
    assert torch.allclose(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "adapters")), of_bundle, atol=1e-6)
    assert not torch.allclose(of_bundle, logits(tiny_model(tiny_tokenizer())), atol=1e-2)


def test_weights_are_written_in_the_type_that_was_asked_for(bundle: Path, tmp_path: Path) -> None:
    export_bundle(bundle, tmp_path / "out", ExportSettings(dtype="bfloat16"))
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto").dtype == torch.bfloat16


def test_weights_that_a_type_cannot_hold_are_refused(tmp_path: Path) -> None:
    model = tiny_model(tiny_tokenizer())
    with torch.no_grad():
        model.model.norm.weight[0] = 1e6
    made = make_bundle(tmp_path, model=model)
    with pytest.raises(BadInput, match=r"norm\.weight.*float16"):
        export_bundle(made, tmp_path / "out", ExportSettings(dtype="float16"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_nothing_is_overwritten(bundle: Path, tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "kept").write_text("x")
    output = tmp_path / {"file": "there/kept", "folder": "there", "link": "link"}[what]
    (tmp_path / "link").symlink_to(tmp_path / "there")
    assert main(["export", str(bundle), "--output", str(output)]) == 2
    assert "not an empty folder" in capsys.readouterr().err
    assert (tmp_path / "there" / "kept").read_text() == "x"


def test_an_empty_folder_is_taken(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    assert main(["export", str(bundle), "--output", str(tmp_path / "out")]) == 0
    assert "4 contexts in the chat template" in capsys.readouterr().out
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.chat_template


def test_no_folder_beside_the_new_one_is_touched(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = {tmp_path / f"out{ending}": "thesis" for ending in (".tmp", ".old", "-old.tmp")}
    for folder, text in mine.items():
        folder.mkdir()
        (folder / "mine").write_text(text)
    assert main(["export", str(bundle), "--output", str(tmp_path / "out")]) == 0
    assert {folder: (folder / "mine").read_text() for folder in mine} == mine
    assert {path.name for path in tmp_path.iterdir()} == {"out", *(folder.name for folder in mine)}
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert main(["export", str(bundle), "--output", "."]) in (0, 2)


@pytest.mark.parametrize(
    "settings",
    [{"eval_temperature": float("nan")}, {"eval_temperature": float("inf")}, {"eval_temperature": -1},
     {"eval_temperature": 1e-9}, {"eval_top_p": 0.0}, {"eval_top_p": 1.5}, {"eval_top_p": float("nan")}],
    ids=str,
)  # fmt: skip
def test_settings_that_no_server_can_sample_by_are_one_line(
    bundle: Path, tmp_path: Path, settings: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    made = edited(bundle, tmp_path, "bundle.json", **settings)
    assert main(["export", str(made), "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "cannot be sampled" in said
    assert "Traceback" not in said
    with pytest.raises(BadInput, match="cannot be sampled"):
        open_release(made)


@pytest.mark.parametrize("end", ["x", -5, [[1]], {"a": 1}, 1.5, True], ids=str)
def test_an_end_that_is_no_token_is_one_line(bundle: Path, tmp_path: Path, end: Any) -> None:
    made = edited(bundle, tmp_path, "generation_config.json", eos_token_id=end)
    with pytest.raises(BadInput, match="which is no token"):
        export_bundle(made, tmp_path / "out")


def test_odd_ways_of_sampling_in_a_bundle_do_not_reach_the_folder(bundle: Path, tmp_path: Path) -> None:
    made = edited(bundle, tmp_path, "generation_config.json", do_sample=False, temperature=0.7, top_k=-5)
    export_bundle(made, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text()).get("top_k") is None


@pytest.mark.parametrize(
    ("owner", "error"),
    [(LlamaForCausalLM, SafetensorError("Error while serializing: I/O error: No space left")),
     (PreTrainedTokenizerFast, Exception("No space left on device (os error 28)")),
     (GenerationConfig, OSError(28, "No space left on device"))],
    ids=["weights", "tokenizer", "settings"],
)  # fmt: skip
def test_a_full_disk_is_one_line_whoever_writes(
    bundle: Path, tmp_path: Path, owner: type, error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def full(self: Any, folder: Any, **kwargs: Any) -> None:
        (Path(folder) / "half").write_text("written")
        raise error

    monkeypatch.setattr(owner, "save_pretrained", full)
    assert main(["export", str(bundle), "--output", str(tmp_path / "out")]) == 2
    assert "No space left" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a" * 300, "a\0b"])
def test_a_path_that_names_no_file_is_one_line(bundle: Path, tmp_path: Path, name: str, capsys: Any) -> None:
    assert main(["export", str(bundle), "--output", f"{tmp_path}/{name}"]) == 2
    assert main(["export", name, "--output", f"{tmp_path}/out"]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("step", ["_write_tokenizer", "_write_weights", "write_card", "write_release"])
def test_an_export_that_fails_leaves_nothing(
    bundle: Path, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder_module, step, full)
    with pytest.raises(BadInput, match="No space left"):
        export_bundle(bundle, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_template_that_renders_otherwise_is_not_exported(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = folder_module.with_contexts
    monkeypatch.setattr(folder_module, "with_contexts", lambda *a, **k: "Hm. " + str(own(*a, **k)))
    with pytest.raises(BadInput, match="Nothing was exported"):
        export_bundle(bundle, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_context_that_leaves_no_room_for_an_answer_is_refused(tmp_path: Path) -> None:
    made = make_bundle(tmp_path, [FOUR[0], a_context("word " * 1700)])
    with pytest.raises(BadInput, match="window of 8192"):
        export_bundle(made, tmp_path / "out")
    assert export_bundle(made, tmp_path / "out", ExportSettings(contexts="lead")).contexts == 1


def test_a_run_without_contexts_of_its_own_is_exported_without_topics(tmp_path: Path) -> None:
    made = make_bundle(tmp_path, FOUR[3:], mode="rl", clusters="inferred")
    assert export_bundle(made, tmp_path / "out").contexts == 1
    assert not list((tmp_path / "out").glob("archive*"))


def test_a_folder_that_is_no_bundle_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "holds no bundle" in capsys.readouterr().err
