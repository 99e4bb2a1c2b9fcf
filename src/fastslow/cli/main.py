"""Run `fastslow COMMAND`. Exit codes: 0 done, 1 a check failed, 2 bad input, 130/143 stopped by a signal."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence

from fastslow.core import foreign
from fastslow.core.errors import BadInput, FastSlowError, printable
from fastslow.core.registry import nearest

COMMANDS = {
    "train": "train a model through contexts and weights: --config recipe.yaml, any setting as --flag",
    "resume": "go on with a run that was stopped or broken off: fastslow resume RUN",
    "watch": "show a run that another process works on, here or over a shared folder: fastslow watch RUN",
    "compare": "a recipe in several modes and seeds, then the report",
    "continual": "several tasks one after another in one run, all of them measured all along",
    "plasticity": "can it still learn? plain RL on another task from each run's weights and from the base",
    "eval": "measure a run or bundle: seed context, lead context and population mean, base and trained",
    "ask": 'one answer of a run or bundle, under the context that it ships: fastslow ask RUN "QUESTION"',
    "contexts": "list the contexts of a run, print one to paste or as messages, compare two",
    "distill": "train a bundle's contexts into its weights, so that prompts need none of them",
    "export": "write a bundle as a folder that stock servers load, its contexts in the chat template",
    "serve": "answer requests in OpenAI's form, each under the context that its question asks for",
    "probe-routes": "is a route right? what each channel alone would gain from single examples, measured",
    "gate": "may it be released? a candidate against a baseline, question by question, by a policy",
    "registry": "versions of released models: add, promote, roll back",
    "report": "what runs say side by side, as a page (HTML), Markdown, CSV or picture",
    "tasks": "list tasks, show one with prompts and verdicts, check one, or draft one from data",
    "engine": "write the folder that vLLM servers are started on: fastslow engine prepare --model M --output DIR",
    "doctor": "check this machine, a run (fastslow doctor RUN: is it whole?), or what a recipe needs (--config)",
}


def usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "usage: fastslow COMMAND [options]",
            "",
            "Train an LLM through two channels at once: evolved contexts (fast weights) and RL (slow weights).",
            "",
            *lines,
            "",
            "fastslow COMMAND --help shows a command's options.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help"):
        print(usage())
        return 0 if args else 2
    if args[0] == "--version":
        from importlib.metadata import version

        print(f"fastslow {version('fastslow')}")
        return 0
    if args[0] not in COMMANDS:
        print(f"fastslow: unknown command '{args[0]}'.{nearest(args[0], COMMANDS)}", file=sys.stderr)
        return 2
    if sys.flags.optimize >= 2:
        print("fastslow: python -OO strips docstrings, which transformers reads; leave it at -O.", file=sys.stderr)
        return 2
    # Progress bars of the libraries would break up ours.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Idle OpenMP threads spin for milliseconds by default. Where another process holds a core, every small operation
    # then waits for the end of a spinner's time slice; a shorter spin costs nothing measurable on an idle machine.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        sys.path.insert(0, os.getcwd())  # a user's scorer or router next to the recipe is found as with `python -m`
    except FileNotFoundError:
        print("fastslow: the current folder does not exist any more; go to another one.", file=sys.stderr)
        return 2
    try:
        return importlib.import_module(f".{args[0].replace('-', '_')}", __package__).run(args[1:])
    except FastSlowError as error:
        # It may quote a file, a server or a model: one line, which the terminal does not obey.
        print(f"fastslow {args[0]}: {printable(error)}", file=sys.stderr)
        return 2 if isinstance(error, BadInput) else 1
    except (MemoryError, RuntimeError, OSError) as error:
        from fastslow.core.machine import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        what = str(error).strip().splitlines()[:1] or ["nothing left"]
        print(
            f"fastslow {args[0]}: out of memory ({what[0][:200]}). Use a smaller model or more memory.",
            file=sys.stderr,
        )
        return 1
    except UnicodeEncodeError as error:
        if error.encoding.replace("-", "").lower() == "utf8":
            raise
        what = error.object[error.start : error.end]
        print(
            f"fastslow {args[0]}: this locale's encoding ({error.encoding}) has no {what!a}; set LC_ALL=C.UTF-8.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(f"fastslow {args[0]}: interrupted", file=sys.stderr)
        return 130


def script() -> None:
    """Run the installed command. A reader that leaves early (`fastslow tasks | head`) is not an error worth a
    traceback, nor is an output that takes no more."""
    _open_streams()
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        code = _left_early()
    except SystemExit as end:  # help was shown, or rich met a reader that had left
        code = _left_early() if end.code == 1 else int(end.code or 0)
    except Exception as error:
        problem = _problem_of_output() if isinstance(error, OSError) else None
        if problem is None:
            sys.excepthook(type(error), error, error.__traceback__)
        else:
            print(f"fastslow: standard output cannot be written: {problem}.", file=sys.stderr)
            _left_early()
        code = 1
    foreign.end_despite_leftovers(code)


def _open_streams() -> None:
    """Have all three standard streams: a file opened later would take the number of a closed one, and text meant for
    people would end in it. What their encoding lacks is escaped."""
    closed = [descriptor for descriptor in (0, 1, 2) if not _is_open(descriptor)]
    for _ in closed:
        os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _problem_of_output() -> str | None:
    """Return why standard output takes nothing; None where it takes a line."""
    try:
        print(flush=True)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _left_early() -> int:
    """Write the rest of the output nowhere; return what a shell reports for SIGPIPE."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


if __name__ == "__main__":
    script()
