"""What was gated is what is exported, and the card says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import (
    AutoTokenizer,
)

from fastslow.bundles.digest import bundle_digest
from fastslow.cli.main import main
from fastslow.core.errors import BadInput
from fastslow.export.folder import ExportSettings, export_bundle
from fastslow.export.release import CONTEXTS, open_release
from fastslow.gate.verdict import Check, Model, Verdict
from tests.support.shipped import CONTEXTS as FOUR
from tests.support.shipped import a_context, make_bundle, promoted, topics_of


def a_verdict(file: Path, digest: str, contexts: str = "lead") -> Path:
    check = Check("retain", "task|`x`\n# no heading", "pass", "why", 0.5, 0.4, 0.1, 0.05, 0.15, -0.05, n=400)
    verdict = Verdict(
        "pass",
        Model("c", digest),
        Model("b", "b" * 64),
        "",
        "",
        {},
        0.05,
        4,
        contexts,
        0,
        (check,),
        (),
        (),
        "",
        0.0,
        {},
    )
    file.write_text(json.dumps(verdict.to_json()))
    return file


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose seed context is not its lead."""
    return make_bundle(tmp_path_factory.mktemp("seeded"), FOUR[:3], topics=topics_of(FOUR), seed=FOUR[3])


def exported_under(kind: str, made: Path, output: Path, **settings: Any) -> Any:
    verdict = a_verdict(output.with_suffix(".json"), bundle_digest(made), kind)
    return export_bundle(made, output, ExportSettings(verdict=verdict, **settings))


def default_of(folder: Path) -> str:
    """The context that the folder's template puts before a question of a request that names none."""
    tokenizer, turns = AutoTokenizer.from_pretrained(folder), [{"role": "user", "content": "?"}]
    contexts = json.loads((folder / CONTEXTS).read_text())["contexts"]
    plain = tokenizer.apply_chat_template(turns, tokenize=False)
    (found,) = [
        one["id"] for one in contexts
        if tokenizer.apply_chat_template(turns, tokenize=False, fastslow_context=one["id"]) == plain
    ]  # fmt: skip
    return found


@pytest.mark.parametrize(("kind", "default"), [("lead", FOUR[0]), ("seed", FOUR[3])])
def test_the_context_that_was_gated_is_the_default(seeded: Path, tmp_path: Path, kind: str, default: Any) -> None:
    done = exported_under(kind, seeded, tmp_path / "out")
    assert (done.selection.gated, done.selection.difference) == (kind, "")
    assert default_of(tmp_path / "out") == default.id
    release = open_release(tmp_path / "out")
    assert (release.gated, release.population.lead, release.seed is None) == (kind, FOUR[0], kind == "lead")
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"puts the {kind} context before every question" in card
    assert f"What was gated: the {kind} context. The default here is the same." in card


@pytest.mark.parametrize("kind", ["cluster", "nearest"])
def test_what_no_template_can_choose_is_refused_unless_it_is_asked_for(seeded: Path, tmp_path: Path, kind: str) -> None:
    for form in ("hf", "ollama"):
        with pytest.raises(BadInput, match=f"{kind}.*serve it with fastslow serve"):
            exported_under(kind, seeded, tmp_path / "none", format=form)
    done = exported_under(kind, seeded, tmp_path / "out", contexts="all")
    assert f"({kind}), and the default of this folder is the lead" in done.selection.difference
    assert "Not what is exported: this version was gated with contexts" in (tmp_path / "out" / "README.md").read_text()
    assert open_release(tmp_path / "out", choosing=True).gated == kind
    assert not (tmp_path / "none").exists()


def test_the_lead_instead_of_the_seed_that_was_gated_is_said(seeded: Path, tmp_path: Path) -> None:
    done = exported_under("seed", seeded, tmp_path / "out", contexts="lead")
    assert "gated with the seed context" in done.selection.difference
    assert default_of(tmp_path / "out") == FOUR[0].id


def test_the_modelfile_holds_the_context_that_was_gated(seeded: Path, tmp_path: Path) -> None:
    exported_under("seed", seeded, tmp_path / "seed", format="ollama")
    exported_under("lead", seeded, tmp_path / "lead", format="ollama")
    assert "Answer with the number alone" not in (tmp_path / "seed" / "Modelfile").read_text()
    assert "Answer with the number alone" in (tmp_path / "lead" / "Modelfile").read_text()


def test_a_champion_is_exported_as_its_verdict_says(seeded: Path, tmp_path: Path, capsys: Any) -> None:
    champion = promoted(tmp_path / "registry", seeded, "seed")
    assert main(["export", champion, "--output", str(tmp_path / "out")]) == 0
    assert "the seed context, as it was gated" in capsys.readouterr().out
    assert "## Release gate: pass" in (tmp_path / "out" / "README.md").read_text()
    assert main(["export", champion, "--output", str(tmp_path / "other"), "--contexts", "lead"]) == 0
    assert "note: this version was gated with the seed context" in capsys.readouterr().err
    chosen = promoted(tmp_path / "chosen", seeded, "cluster")
    assert main(["export", chosen, "--output", str(tmp_path / "none")]) == 2
    assert "fastslow serve" in capsys.readouterr().err


def test_a_bundle_without_a_verdict_is_exported_with_its_lead(seeded: Path, tmp_path: Path, capsys: Any) -> None:
    assert main(["export", str(seeded), "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "gate" not in said.out + said.err
    assert default_of(tmp_path / "out") == FOUR[0].id
    assert open_release(tmp_path / "out").gated is None


def test_the_card_says_where_the_gate_sampled_otherwise(tmp_path: Path) -> None:
    cases: dict[str, Any] = {"same": {}, "other": {"eval_temperature": 0.5, "eval_top_p": 0.9}}
    for name, settings in cases.items():
        made = make_bundle(tmp_path / name, **settings)
        assert (
            main(["export", promoted(tmp_path / name / "r", made, "lead"), "--output", f"{tmp_path / name}/out"]) == 0
        )
    said = "The gate asked at temperature 0 and top-p 1; generation_config.json says 0.5 and 0.9"
    assert said in (tmp_path / "other" / "out" / "README.md").read_text()
    assert "The gate asked at" not in (tmp_path / "same" / "out" / "README.md").read_text()


@pytest.mark.parametrize("contexts", ["lead", "all"])
def test_the_card_counts_the_contexts_of_the_folder(seeded: Path, tmp_path: Path, contexts: str) -> None:
    done = export_bundle(seeded, tmp_path / "out", ExportSettings(contexts=contexts))
    there = json.loads((tmp_path / "out" / CONTEXTS).read_text())["contexts"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert done.contexts == len(there)
    assert (f"which holds {len(there)}," in card) == (contexts == "all")
    assert ("name `none`" in card) == (contexts == "lead")


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
