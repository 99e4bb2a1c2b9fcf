"""The curves of a report as a picture: the page itself, photographed by a headless browser."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fastslow.core.errors import BadInput
from fastslow.report.pages.page import page
from fastslow.report.reading.sources import Source

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
QUIET = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--force-color-profile=srgb",
)  # fmt: skip
WIDTH = 1280
TALLEST = 16_000  # browsers cut a taller picture
SECONDS = 120  # a browser starts in two seconds and draws a long comparison in ten
DRAWING = 20_000  # milliseconds of the page's own clock before the picture is taken


def find_browser() -> str:
    """Return the path of Chromium, Chrome or Edge, or of the browser that FASTSLOW_BROWSER names.

    Raises BadInput where none can be run.
    """
    named = os.environ.get("FASTSLOW_BROWSER")
    browser = shutil.which(named) if named else next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        missing = (
            f"FASTSLOW_BROWSER names '{named}', which cannot be run" if named else "no Chromium or Chrome was found"
        )
        raise BadInput(
            f"a PNG needs a browser, and {missing}; on Debian: apt-get install chromium. "
            "HTML, Markdown and CSV need none."
        )
    return browser


def flags() -> list[str]:
    """Return the flags to start a browser with: quiet, and without its sandbox for root, who cannot have one."""
    return [*QUIET, *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])]


def picture(sources: Sequence[Source]) -> bytes:
    """Return a PNG of verdicts and curves, in light colours. Raises BadInput where no browser can make one."""
    browser = find_browser()
    with tempfile.TemporaryDirectory() as folder:
        made, out = Path(folder, "report.html"), Path(folder, "report.png")
        made.write_text(page(sources, view="figure"), encoding="utf-8")
        height = _height(browser, made, folder)
        _run(browser, [f"--screenshot={out}", f"--window-size={WIDTH},{height}", made.as_uri()], folder)
        if not out.is_file():
            raise BadInput(f"'{browser}' made no picture; FASTSLOW_BROWSER can name another one.")
        return out.read_bytes()


def _height(browser: str, made: Path, folder: str) -> int:
    """Return the height of the drawn page, which its script writes into the document.

    A browser that may not read the file, such as one in a snap, draws an error page instead.
    """
    dumped = _run(browser, ["--dump-dom", f"--window-size={WIDTH},900", made.as_uri()], folder)
    match = re.search(rb'data-height="(\d{2,6})"', dumped[: 64 * 2**10])
    if not match:
        raise BadInput(f"'{browser}' did not draw the report; FASTSLOW_BROWSER can name another one.")
    return min(TALLEST, int(match[1]))


def _run(browser: str, arguments: Sequence[str], folder: str) -> bytes:
    command = [browser, *flags(), f"--user-data-dir={folder}/profile", f"--virtual-time-budget={DRAWING}", *arguments]
    try:
        return subprocess.run(command, capture_output=True, timeout=SECONDS, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadInput(
            f"'{browser}' made no picture ({type(error).__name__}); FASTSLOW_BROWSER can name another one."
        ) from error
