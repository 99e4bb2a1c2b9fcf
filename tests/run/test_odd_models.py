"""Models of the hub as they come: a run begins, ends and is evaluated, or one line says why not before it begins."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig
from fastslow.record.display import SilentDisplay
from fastslow.run.train import resume, train
from tests.support.runs import tiny_settings
from tests.support.tiny import CHAT_TEMPLATE, tiny_tokenizer
from tests.support.zoo import run_through

ALTERNATING = CHAT_TEMPLATE.replace(
    "{% for message in messages %}",
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}",
)


def recipe(folder: Path, template: str | None = None, **overrides: Any) -> str:
    """A recipe in `folder`, whose model has this chat template."""
    settings = tiny_settings(folder, **overrides)
    if template is not None:
        edit_template(folder, template)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings))
    return str(path)


def edit_template(folder: Path, template: str) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder / "model")


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rows_of(folder: Path, *messages: list[dict[str, str]]) -> str:
    """A task of these conversations and enough plain ones."""
    plain = [[{"role": "user", "content": f"What is {i} + 1?"}] for i in range(30)]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"messages": m, "answer": "1"}) + "\n" for m in [*messages, *plain]))
    return f"jsonl:{path}?scorer=tests.support.runs:spread"


def refused(capsys: Any, folder: Path, *command: str) -> str:
    """The one line by which a command is refused."""
    assert main(list(command)) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert not (folder / "run").exists()
    return " ".join(said.split())


def test_a_generation_config_that_cannot_be_saved_trains_resumes_and_evaluates(tmp_path: Path) -> None:
    tiny_settings(tmp_path)
    edit_json(tmp_path / "model" / "generation_config.json", do_sample=False, temperature=0.6, top_p=0.9)
    bundle = run_through("llama", tmp_path)["run"] / "bundle"
    saved = json.loads((bundle / "generation_config.json").read_text())
    assert "temperature" not in saved
    assert saved["eos_token_id"] == tiny_tokenizer().eos_token_id


def test_a_run_that_could_not_write_its_bundle_gets_it_by_resuming(tmp_path: Path, monkeypatch: Any) -> None:
    """Runs of versions that did not mend generation configs ended with a traceback as they wrote the bundle."""
    settings = tiny_settings(tmp_path, save_time_share=1.0)
    edit_json(tmp_path / "model" / "generation_config.json", do_sample=False, temperature=0.6)
    with monkeypatch.context() as patch:
        patch.setattr("fastslow.policy.pairing.savable", lambda config: config)
        patch.setattr("fastslow.policy.pairing._try_saving", lambda *_: None)
        with pytest.raises(ValueError, match="temperature"):
            train(FastSlowConfig(**settings), display=SilentDisplay())
    resume(settings["output_dir"], display=SilentDisplay())
    assert (tmp_path / "run" / "bundle" / "bundle.json").is_file()


CONVERSATION = [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}]


def test_two_user_turns_train_under_a_template_of_alternating_roles(tmp_path: Path, capsys: Any) -> None:
    task = rows_of(tmp_path, CONVERSATION)
    path = recipe(tmp_path, ALTERNATING, task=task, max_steps=1)
    assert main(["tasks", "check", task, "--model", str(tmp_path / "model"), "--validation_size", "6"]) in (0, 1)
    assert "chat template" not in capsys.readouterr().out
    assert main(["tasks", "show", task, "--model", str(tmp_path / "model"), "--examples", "20"]) == 0
    assert main(["train", "--config", path]) == 0


CHOOSY = CHAT_TEMPLATE.replace(
    "{% for message in messages %}",
    "{% for message in messages %}{% if 'sesame' in message['content'] %}{{ raise_exception('no magic') }}{% endif %}",
)


def test_a_row_that_the_template_refuses_is_named_by_train_check_show_and_doctor(tmp_path: Path, capsys: Any) -> None:
    task = rows_of(tmp_path, [{"role": "user", "content": "Open sesame?"}])
    path = recipe(tmp_path, CHOOSY, task=task, validation_size=15, test_size=0)
    sizes = ("--model", str(tmp_path / "model"), "--validation_size", "15", "--test_size", "0")
    for command in ("train", "doctor"):
        assert "refuses the turns: no magic. This was for line" in refused(capsys, tmp_path, command, "--config", path)
    assert main(["tasks", "check", task, *sizes]) == 1
    assert "no magic. This was for line" in capsys.readouterr().out
    shown = [refused_show(capsys, task, split, *sizes) for split in ("train", "validation")]
    assert any("no magic. This was for line" in said for said in shown)


def refused_show(capsys: Any, task: str, split: str, *model: str) -> str:
    main(["tasks", "show", task, "--split", split, "--examples", "50", *model])
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for message in messages %}", "syntax error"),
        ("{{ raise_exception('not today') }}", "not today"),
        ("{{ 1 + messages }}", "fails with TypeError"),
        ("{{ tools_prompt.strip() }}", "'tools_prompt' is undefined"),
        ("Hello.", "leaves out the user turn"),
        (CHAT_TEMPLATE.replace("messages %}", "messages[-1:] %}"), "does not show earlier questions"),
    ],
)
def test_a_template_that_cannot_be_used_is_one_line(template: str, said: str, tmp_path: Path, capsys: Any) -> None:
    path = recipe(tmp_path, template)
    assert said in refused(capsys, tmp_path, "train", "--config", path)
    assert said in refused(capsys, tmp_path, "doctor", "--config", path)


def test_the_clock_of_a_template_stands_still_in_runs_and_bundles(tmp_path: Path) -> None:
    tiny_settings(tmp_path)
    edit_template(tmp_path, "{{ strftime_now('%d %b %Y %H:%M:%S.%f') }}" + CHAT_TEMPLATE)
    said = []
    for place in ("one", "other"):
        run = tmp_path / place
        settings = tiny_settings(tmp_path, output_dir=str(run), template_date="2020-02-02")
        train(FastSlowConfig(**settings), display=SilentDisplay())
        said.append([(run / name).read_text() for name in ("routes.jsonl", "contexts.jsonl")])
        assert json.loads((run / "bundle" / "bundle.json").read_text())["settings"]["template_date"] == "2020-02-02"
        assert yaml.safe_load((run / "config.yaml").read_text())["template_date"] == "2020-02-02"
    assert said[0] == said[1]


def test_a_date_that_is_none_is_refused(tmp_path: Path, capsys: Any) -> None:
    path = recipe(tmp_path)
    assert "template_date must be a date" in refused(
        capsys, tmp_path, "train", "--config", path, "--template_date", "x"
    )


def no_end_anywhere(model: Path) -> None:
    edit_json(model / "tokenizer_config.json", eos_token=None)
    edit_json(model / "generation_config.json", eos_token_id=None)
    edit_json(model / "config.json", eos_token_id=None)


def no_end(model: Path) -> None:
    edit_json(model / "tokenizer_config.json", eos_token=None)


def no_pad(model: Path) -> None:
    edit_json(model / "tokenizer_config.json", pad_token=None)


def no_beginning(model: Path) -> None:
    edit_json(model / "tokenizer_config.json", bos_token=None)


def more_tokens(model: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<image>", "<tool>"])
    tokenizer.save_pretrained(model)


def end_past_the_model(model: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"eos_token": "<end>"})
    tokenizer.save_pretrained(model)


def prompts_past_the_model(model: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<turn>"])
    tokenizer.chat_template = CHAT_TEMPLATE.replace("<|im_start|>", "<turn>")
    tokenizer.save_pretrained(model)


@pytest.mark.parametrize("change", [no_end, no_pad, no_beginning, more_tokens], ids=lambda change: change.__name__)
def test_a_tokenizer_that_lacks_something_trains_and_evaluates(change: Callable[[Path], None], tmp_path: Path) -> None:
    tiny_settings(tmp_path)
    change(tmp_path / "model")
    assert run_through("llama", tmp_path)["rows"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (no_end_anywhere, "name an end token"),
        (end_past_the_model, "'<end>' .* has no row"),
        (prompts_past_the_model, "has the token '<turn>'"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_tokenizer_that_does_not_fit_is_refused(change: Callable[[Path], None], said: str, tmp_path, capsys) -> None:
    path = recipe(tmp_path)
    change(tmp_path / "model")
    for command in ("train", "doctor"):
        assert re.search(said, refused(capsys, tmp_path, command, "--config", path))
