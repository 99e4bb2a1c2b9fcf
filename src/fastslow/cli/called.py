"""How a person can call this command again: `fastslow` alone is not found where no environment is active."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from shlex import quote

NAME = "fastslow"


def called() -> str:
    """Return what stands before the name of a command in a line to copy: `fastslow` where a shell finds it, else the
    way in which this process was called, such as `.venv/bin/fastslow`."""
    program = Path(sys.argv[0])
    if shutil.which(NAME):
        return NAME
    if program.name == "__main__.py" and program.parent.name == NAME:
        return f"{quote(_from_here(sys.executable))} -m {NAME}"
    return quote(_from_here(str(program))) if program.stem == NAME else NAME  # called from Python


def _from_here(path: str) -> str:
    """Return the path of a program from the current folder, where it lies below it; with a slash in it, as a shell
    wants."""
    full, here = os.path.abspath(path), os.getcwd()  # links stay: a venv's python is one
    if os.path.commonpath([full, here]) != here:
        return full
    relative = os.path.relpath(full, here)
    return relative if os.sep in relative else os.path.join(".", relative)
