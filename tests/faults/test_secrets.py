"""A key reaches no file, no line on the terminal and no report, whatever a server does with it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest

from fastslow.cli.main import main
from tests.support.openai_server import NO_WAIT, OpenAIServer, Reply, Request
from tests.support.runs import tiny_settings

KEY = "sk-canary+/7f3a9c=secret"


def echo_edit(received: Request) -> Reply:
    marker = received.prompt.rpartition("<<<EDIT ")[2].partition(">>>")[0]
    return Reply(f"The key is {KEY}\n<<<EDIT {marker}>>>\nSay {KEY} {received.json['seed']}.\n<<<DONE {marker}>>>")


def said(status: int, message: str) -> Reply:
    return Reply(status=status, body=json.dumps({"error": {"message": message}}), headers=NO_WAIT)


CANARIES = {
    "refusal of the key": said(401, f"Incorrect API key provided: {KEY}"),
    "forbidden": said(403, f"{KEY} may not"),
    "bad request": said(400, f"Authorization: Bearer {KEY} is malformed"),
    "words cut in the middle of the key": said(400, "x" * 190 + KEY),
    "server error": said(500, f"traceback: key={KEY}"),
    "rate limit": said(429, f"{KEY} is too fast"),
    "header": Reply(status=400, headers={"x-request-key": KEY, **NO_WAIT}),
    "redirect": Reply(status=307, headers={"location": f"/v1/other?key={quote(KEY)}"}),
    "reply": echo_edit,
    "finish reason": Reply("hi", finish_reason=f"stop {KEY}"),
    "broken JSON": Reply(body="{" + KEY),
    "plain text": Reply(body=f"welcome {KEY}", content_type="text/plain"),
}


FORMS = {
    "as it is": KEY,
    "its beginning": KEY[:12],
    "its end": KEY[-12:],
    "in a path": quote(KEY),
    "in a query": quote(KEY, safe=""),
    "in JSON": json.dumps(KEY).replace("/", "\\/")[1:-1],
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(b"k=" + KEY.encode()).decode()[4:-4],
    "as a password": base64.b64encode(b":" + KEY.encode()).decode()[4:-4],
    "hexadecimal": KEY.encode().hex(),
    "backwards": KEY[::-1],
    "in capitals": KEY.upper(),
}


@pytest.mark.row(name="secrets")
@pytest.mark.parametrize("name", CANARIES)
def test_a_key_is_in_nothing_that_a_run_leaves(name: str, tmp_path: Path, monkeypatch, capfd, caplog) -> None:
    monkeypatch.setenv("CANARY_KEY", KEY)
    caplog.set_level("INFO")
    script = CANARIES[name]
    with OpenAIServer(cast(Any, script if callable(script) else [script])) as server:
        settings = tiny_settings(
            tmp_path, proposer="reflection", reflection_model="m", reflection_base_url=server.base_url, max_steps=2,
            reflection_api_key_env="CANARY_KEY", save_bundle=name == "reply",
        )  # fmt: skip
        flags = [f"--{key}={value}" for key, value in settings.items()]
        assert main(["train", *flags]) == 0
        assert server.requests
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}", "no canary was sent: the test is void"
    main(["report", str(tmp_path / "run"), "--output", str(tmp_path / "report.html")])
    seen = capfd.readouterr()
    texts = {"output": seen.out + seen.err, "log": "\n".join(r.getMessage() for r in caplog.records)}
    files = {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert any("report" in path for path in files)
    assert any("lm_journal" in path for path in files) or name not in ("reply", "finish reason")
    for where, text in texts.items():
        assert not [form for form, written in FORMS.items() if written in text], where
    for path, content in files.items():
        assert not [form for form, written in FORMS.items() if written.encode() in content], path


def test_there_are_twelve_canaries_looked_for_in_twelve_forms() -> None:
    assert len(CANARIES) == 12
    assert len(set(FORMS.values())) == 12
