"""Show hostile text on a page: templates that escape every value, and a page that loads, runs and sends nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

# Control characters, lone surrogates, and the marks that reverse the direction of text.
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def seen(text: str) -> str:
    """Return a text without characters that show nothing or change how others are shown; none is left that XML
    forbids."""
    return UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)


def content_policy(*scripts: str) -> str:
    """Return the Content-Security-Policy: nothing may be loaded or sent, and only these scripts may run.

    Plotly writes styles and probes for an image format when it starts. So inline styles and images within the page are
    allowed; neither can reach anything outside the page.
    """
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


@cache
def template(source: str) -> jinja2.Template:
    """Return a template that escapes every value but our own markup, and fails for a name that it is not given."""
    environment = jinja2.Environment(autoescape=True, finalize=_shown, undefined=jinja2.StrictUndefined)
    return environment.from_string(source)


def _shown(value: Any) -> Any:
    """Return a value as a template shows it: our own markup unchanged, any other text without invisible characters."""
    return seen(value) if isinstance(value, str) and not isinstance(value, Markup) else value
