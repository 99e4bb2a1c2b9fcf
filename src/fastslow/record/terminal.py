"""A terminal that may close, and lines on it that are drawn again and again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TextIO, cast

from rich.console import Console, RenderableType
from rich.live import Live

DRAWN = 2
"""Times a second that the lines are drawn: clocks in seconds need no more, and drawing takes time from training."""


class _Lasting:
    """A text file that takes whatever is written to it, even where its reader has left (`fastslow train 2>&1 | head`)
    or its terminal was closed: a run is more than what it shows. Everything else is the file's own."""

    def __init__(self, file: TextIO):
        self._file = file
        self._lost = False

    def write(self, text: str) -> int:
        """Write a text, or nothing once a text was not taken."""
        self._attempt(lambda: self._file.write(text))
        return len(text)

    def flush(self) -> None:
        self._attempt(self._file.flush)

    def isatty(self) -> bool:
        return not self._lost and self._file.isatty()

    def _attempt(self, action: Callable[[], object]) -> None:
        if self._lost:
            return
        try:
            action()
        except UnicodeError:  # an error of ours, and not of the file
            raise
        except (OSError, ValueError):  # ValueError: the file was closed
            self._lost = True

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


def lasting_console() -> Console:
    """Return a console on standard error whose loss ends nothing."""
    return Console(file=cast(TextIO, _Lasting(sys.stderr)))


def can_redraw(console: Console) -> bool:
    """Return whether lines can be drawn again. FORCE_COLOR makes rich take a pipe for a terminal, which it is not."""
    return console.is_interactive and console.file.isatty()


def live(console: Console, view: RenderableType) -> Live:
    """Return lines at the bottom of a terminal that are drawn anew until they are stopped. What is printed to a console
    or standard error meanwhile appears above them."""
    return Live(
        console=console, refresh_per_second=DRAWN, get_renderable=lambda: view, vertical_overflow="crop",
        redirect_stdout=sys.stdout.isatty(),
    )  # fmt: skip
