"""What was gated is what is exported, and the card says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from transformers import (
    AutoTokenizer,
)

from fastslow.bundles.digest import bundle_digest
from fastslow.cli.main import main
from fastslow.core.errors import BadInput
from fastslow.core.modes import MODES
from fastslow.export.folder import ExportSettings, export_bundle
from fastslow.export.origin import Origin, making, read_origin, title
from fastslow.export.release import CONTEXTS, open_release
from fastslow.gate.verdict import Asked, Check, Model, Verdict
from tests.support.shipped import CONTEXTS as FOUR
from tests.support.shipped import a_context, make_bundle, promoted, topics_of


def a_verdict(file: Path, digest: str, contexts: str = "lead", **changes: Any) -> Path:
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
    file.write_text(json.dumps(replace(verdict, **changes).to_json()))
    return file


def card_of(made: Path, output: Path, /, **changes: Any) -> str:
    """The card of an export with a verdict in which this was changed; without changes, with none."""
    verdict = a_verdict(output.with_suffix(".json"), bundle_digest(made), **changes) if changes else None
    export_bundle(made, output, ExportSettings(verdict=verdict))
    return (output / "README.md").read_text()


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose seed context is not its lead."""
    return make_bundle(tmp_path_factory.mktemp("seeded"), FOUR[:3], topics=topics_of(FOUR), seed=FOUR[3])


def exported_under(kind: str, made: Path, output: Path, **settings: Any) -> Any:
    verdict = a_verdict(output.with_suffix(".json"), bundle_digest(made), kind)
    return export_bundle(made, output, ExportSettings(verdict=verdict, **settings))


def default_of(folder: Path) -> str:
    """The context that the folder's template puts before a question of a request that names none."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    turns = [{"role": "user", "content": "?"}]
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


def test_a_run_that_drew_its_contexts_into_the_weights_is_exported_without_any(tmp_path: Path) -> None:
    plain = a_context("Answer.")
    made = make_bundle(tmp_path, seed=plain, mode="consolidate")
    export_bundle(made, tmp_path / "out")
    assert default_of(tmp_path / "out") == plain.id
    export_bundle(made, tmp_path / "asked", ExportSettings(contexts="lead"))
    assert default_of(tmp_path / "asked") == FOUR[0].id


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
    row = "| 50.0% | 40.0% | +10.0 points | +5.0 to +15.0 points | -5.0 points | 400 |"
    assert f"| retain | `task\\|'x' # no heading` | pass {row}" in card
    assert "| this model | baseline | difference | 90% interval | limit of the difference | questions |" in card
    assert "against" not in card.partition("| check |")[2], "a stranger does not know what `against` means"


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


def test_figures_that_are_no_shares_of_right_answers_have_their_own_units(bundle: Path, tmp_path: Path) -> None:
    checks = (
        Check("prose", "bits per byte", "pass", "", 1.05, 1.04, 0.0096, 0.002, 0.017, 0.02, n=32),
        Check("limit", "KL to the base", "fail", "1.5 nats per token is `above`", difference=1.5, against=1.0),
        Check("gain", "graded", "pass", "", 0.5, 0.4, 0.1, 0.05, 0.15, 0.0, 9, candidate_right=0.3, baseline_right=0.2),
        Check("gain", "broken", "invalid", "no answers", against=0.05),
    )
    card = card_of(bundle, tmp_path / "out", checks=checks)
    assert "| 1.05 | 1.04 | +0.96% | +0.2% to +1.7% | +2% | 32 pieces of text |" in card
    assert "|  |  | 1.5 nats per token |  | 1 nats per token |  |" in card
    assert "| 0.500 / 30.0% | 0.400 / 20.0% | +10.0 points |" in card
    assert "what stands is the mean reward / the share fully right" in card
    assert "| gain | `broken` | invalid |  |  |  |  | +5.0 points |  |" in card
    assert "- KL: how far the probabilities" in card
    assert "`limit KL to the base`: `1.5 nats per token is 'above'`" in card


def test_the_notes_of_the_gate_stand_in_the_card_without_folders_of_this_machine(bundle: Path, tmp_path: Path) -> None:
    task = "jsonl:/home/me/orders.jsonl"
    card = card_of(
        bundle, tmp_path / "out", notes=(f"'{task}': these very questions decided 4 gates before", "# `no` heading"),
        questions=(Asked(task, 22, None, "d"), Asked("star_graph", 30, 5, "e")),
    )  # fmt: skip
    assert "- `'jsonl:orders.jsonl': these very questions decided 4 gates before`\n- `# 'no' heading`" in card
    assert "- 22 of `jsonl:orders.jsonl`\n- 30 of `star_graph`, made by its generator for the gate" in card
    assert "/home/me" not in card


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Model("base", "b" * 64, "base"), "the base model `base` under the plain prompt (no instruction"),
        (Model("/srv/releases@champion", "b" * 64), "the champion of the registry `releases` (version bbbbbbbbbbbb)"),
        (Model("releases@2", "b" * 64), "version 2 of the registry `releases` (bbbbbbbbbbbb)"),
        (Model("releases@0012-bbbbbbbbbbbb", "b" * 64), "version 12 of the registry `releases`"),
        (Model("/home/me/runs/a@b/bundle", "b" * 64), "the bundle `a@b` (bbbbbbbbbbbb)"),
    ],
    ids=lambda one: one.name if isinstance(one, Model) else "",
)
def test_the_card_says_what_the_baseline_was(seeded: Path, tmp_path: Path, model: Model, said: str) -> None:
    card = card_of(seeded, tmp_path / "out", baseline=model, made="2026-01-02T03:04:05+00:00")
    assert said in card
    assert "Measured on 2026-01-02 against the baseline" in card


def test_a_version_that_was_compared_with_itself_says_so(bundle: Path, tmp_path: Path) -> None:
    card = card_of(bundle, tmp_path / "same", baseline=Model("releases@champion", bundle_digest(bundle)))
    assert "which is this very version" in card
    assert "which is this very version" not in card_of(bundle, tmp_path / "other", made="")


def test_a_base_model_that_was_asked_under_an_instruction_is_not_called_plain(bundle: Path, tmp_path: Path) -> None:
    card = card_of(bundle, tmp_path / "out", baseline=Model("base", "b" * 64, "base"), made="unknown")
    assert "under the prompt that the run began with" in card
    assert "Measured against the baseline" in card


def test_the_card_says_of_each_mode_what_was_trained() -> None:
    said = {mode: making(Origin({"mode": mode, "model": "/x/base"}, {}, 3, distilled=False)) for mode in MODES}
    weights = {
        "fst": "by reinforcement learning", "rl": "by reinforcement learning", "prompt": "not trained in this run",
        "prompt_rl": "by reinforcement learning", "rl_prompt": "by reinforcement learning",
        "supervised": "by supervised fine-tuning", "self_distillation": "by self-distillation",
        "consolidate": "to answer without the contexts", "rejection": "rejection sampling",
        "retrieval": "not trained in this run",
    }  # fmt: skip
    assert set(weights) == set(MODES)
    for mode, words in weights.items():
        assert words in said[mode], mode
        assert ("by an evolutionary search" in said[mode]) == MODES[mode].fast, mode
        assert ("reinforcement" in said[mode]) == (MODES[mode].slow and MODES[mode].learns_from == "rewards"), mode
        plain = making(Origin({"mode": mode, "model": "/x/base"}, {}, 3, distilled=False), plain=True)
        assert "found by" not in plain, mode
    of_prompt = Origin({"mode": "prompt", "model": "/x/base"}, {}, 3, distilled=True)
    assert "its contexts were distilled into them" in making(of_prompt)
    assert "made no training step" in making(replace(of_prompt, settings={"mode": "rl", "model": "x"}, steps=0))


@pytest.mark.parametrize("accuracy", [{}, {"lead": 0.25, "seed": None, "base_seed": 0.125}], ids=str)
def test_answers_are_called_measured_only_where_they_were(tmp_path: Path, accuracy: dict[str, Any]) -> None:
    made = make_bundle(tmp_path, eval_temperature=0.6, seed=FOUR[3])
    file = made / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"accuracy": accuracy}))
    card = card_of(made, tmp_path / "out")
    assert ("The run measured answers at temperature 0.6" in card) == bool(accuracy)
    assert ("generation_config.json has answers sampled at temperature 0.6" in card) != bool(accuracy)
    assert "No release gate measured this version" in card
    found = "was 25.0%, under the lead context; that of the base model under the plain prompt"
    assert (found in card) == bool(accuracy)


@pytest.mark.parametrize(
    ("model", "hub_id", "licence"),
    [
        ("smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0"),
        ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", None), ("gpt2", "gpt2", None), ("/home/me/gpt2", None, None),
        ("./gpt2", None, None), ("~/gpt2", None, None), ("models/of/mine", None, None), ("mine/base", None, None),
    ],
)  # fmt: skip
def test_the_base_is_named_by_its_hub_id_and_never_by_a_folder(
    tmp_path: Path, model: str, hub_id: str | None, licence: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine" / "base").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    origin = Origin({"mode": "rl", "model": model}, {}, 3, distilled=False)
    assert (origin.hub_id, origin.licence) == (hub_id, licence)
    assert (f"Its licence, {licence}, applies" if licence else "is not recorded here") in making(origin)
    assert "/home" not in making(origin)


def test_the_front_matter_names_base_and_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_bundle(tmp_path)
    local = ModelCard(card_of(made, tmp_path / "local")).data.to_dict()
    assert not {"base_model", "license"} & set(local), "the base is a folder, and its licence is not known"
    monkeypatch.setattr("fastslow.export.folder.read_origin", lambda folder, settings: read_origin(
        folder, {**settings, "model": "smollm2-135m"}))  # fmt: skip
    known = ModelCard(card_of(made, tmp_path / "known")).data.to_dict()
    assert known["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert known["license"] == "apache-2.0"


def test_the_card_says_task_data_and_what_nobody_tested(tmp_path: Path) -> None:
    made = make_bundle(tmp_path, task="set", tasks=["jsonl:/home/me/orders.jsonl", "star_graph?degree=2"])
    card = card_of(made, tmp_path / "out")
    assert f"# base {bundle_digest(made)[:12]}, adapted to `orders` and `star_graph` by fastslow\n" in card
    assert "- `jsonl:orders.jsonl`: questions from a file of whoever trained the model\n" in card
    assert "- `star_graph?degree=2`: questions made by fastslow's generator of star graphs\n" in card
    assert "of each task, or as many as there are: 6 to validate on, 4 held out for tests." in card
    assert "Not tested: any other task, and safety" in card
    assert "accuracy includes the format of the answers" in card
    assert "/home/me" not in card


def test_where_nothing_learned_nothing_is_called_adapted() -> None:
    origin = Origin({"mode": "retrieval", "model": "base", "task": "codeio", "tasks": None}, {}, 0, distilled=False)
    assert title(origin, "abc") == "# base abc, from a fastslow run on `codeio`"
    many = {"mode": "rl", "model": "base", "task": "set", "tasks": ["codeio", "hover", "polaris", "physics"]}
    assert title(replace(origin, settings=many), "abc") == "# base abc, adapted to 4 tasks by fastslow"
