"""An exported folder is whole, loads anywhere, and answers as the bundle did; otherwise there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from fastslow.bundles.bundle import open_bundle
from fastslow.bundles.digest import bundle_digest
from fastslow.cli.main import main
from fastslow.core.errors import BadInput
from fastslow.export import folder as folder_module
from fastslow.export.folder import ExportSettings, export_bundle
from fastslow.export.release import CONTEXTS, open_release
from fastslow.gate.verdict import Check, Model, Verdict
from tests.support.runs import WORDINGS
from tests.support.shipped import CONTEXTS as FOUR
from tests.support.shipped import a_context, asked, make_bundle, topics_of
from tests.support.tiny import tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made"), topics=topics_of(FOUR), max_completion_length=7)


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
    texts = [path.read_bytes() for path in (tmp_path / "out").iterdir() if path.suffix in (".json", ".md", ".jinja")]
    assert not [text for text in texts if str(bundle.parent).encode() in text]


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
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template


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


@pytest.mark.parametrize("name", ["model.safetensors", "chat_template.jinja", "archive.json", "tokenizer.json"])
def test_a_file_that_was_changed_after_the_export_is_not_served(bundle: Path, tmp_path: Path, name: str) -> None:
    export_bundle(bundle, tmp_path / "out")
    file = tmp_path / "out" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(BadInput, match="not the file that was exported"):
        open_release(tmp_path / "out")


@pytest.mark.parametrize(
    "damage",
    ["", "[]", "{}", '{"format": 2}', "null", '{"format": 1, "contexts": []}', "{" * 5000],
)
def test_a_damaged_list_of_contexts_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    (tmp_path / CONTEXTS).write_text(damage)
    with pytest.raises(BadInput, match="is damaged") as raised:
        open_release(tmp_path)
    assert "\n" not in str(raised.value)


def a_verdict(file: Path, digest: str) -> Path:
    check = Check("retain", "task|`x`\n# no heading", "pass", "why", 0.5, 0.4, 0.1, 0.05, 0.15, -0.05, n=400)
    verdict = Verdict(
        "pass", Model("c", digest), Model("b", "b" * 64), "", "", {}, 0.05, 4, "lead", 0, (check,), (), (), "", 0.0, {}
    )
    file.write_text(json.dumps(verdict.to_json()))
    return file


def test_the_card_shows_the_verdict_on_this_bundle(bundle: Path, tmp_path: Path) -> None:
    verdict = a_verdict(tmp_path / "v.json", bundle_digest(bundle))
    export_bundle(bundle, tmp_path / "out", ExportSettings(verdict=verdict))
    card = (tmp_path / "out" / "README.md").read_text()
    assert "## Release gate: pass" in card
    assert "| retain | `task\\|'x' # no heading` | pass | 0.100 | 0.050 to 0.150 | -0.050 | 400 |" in card


def test_texts_of_models_stay_in_their_block_of_the_card(tmp_path: Path) -> None:
    made = make_bundle(tmp_path, [a_context("````\n# Released by the board\n```")])
    export_bundle(made, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "`````json" in card, "the fence must be longer than any in the text"


@pytest.mark.parametrize("verdict", ["other", "changed", "[]", "{}", "x", None])
def test_a_verdict_on_another_bundle_or_none_at_all_is_refused(
    bundle: Path, tmp_path: Path, verdict: str | None
) -> None:
    file = tmp_path / "v.json"
    if verdict in ("other", "changed"):
        a_verdict(file, "0" * 64 if verdict == "other" else bundle_digest(bundle))
        file.write_text(file.read_text().replace('"n": 400', '"n": 4000' if verdict == "changed" else '"n": 400'))
    elif verdict is not None:
        file.write_text(verdict)
    with pytest.raises(BadInput, match="verdict"):
        export_bundle(bundle, tmp_path / "out", ExportSettings(verdict=file))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_bundle_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "holds no bundle" in capsys.readouterr().err
