"""`fastslow export BUNDLE --output DIR`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fastslow.cli.flags import Parser


def run(argv: Sequence[str]) -> int:
    """Write a bundle as a folder that stock servers load."""
    options = _options(argv)
    Console(stderr=True).print("[dim]loading model ...[/dim]")
    from fastslow.cli.released import verdict_of
    from fastslow.cli.train import quiet_libraries
    from fastslow.export.folder import ExportSettings, export_bundle
    from fastslow.registry.registry import resolve

    quiet_libraries()
    folder = resolve(options.path)
    settings = ExportSettings(
        format=options.format,
        contexts=options.contexts,
        merge=options.merge,
        dtype=options.dtype,
        verdict=Path(options.verdict) if options.verdict else verdict_of(options.path),
        trusted=options.trust_task,
    )
    done = export_bundle(folder, Path(options.output), settings)
    weights = "adapters" if done.adapters else "weights"
    template = (
        f"{done.contexts} contexts in the chat template, equal to the run's own rendering in {done.compared} of "
        f"{done.compared} comparisons"
        if options.format == "hf"
        else f"the {done.selection.kind} context in the Modelfile"
    )
    _say(Console(), f"{options.output}: {weights} of version {done.version}, {template}")
    if done.selection.difference:
        _say(Console(stderr=True), f"note: {done.selection.difference}")
    elif done.selection.gated:
        _say(Console(), f"its default is the {done.selection.kind} context, as it was gated")
    return 0


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="fastslow export", description="Write a bundle as a folder that stock servers load.")
    parser.add_argument("path", metavar="BUNDLE", help="a run directory, a bundle folder, or REGISTRY@champion")
    parser.add_argument("--output", required=True, metavar="DIR", help="a new folder")
    parser.add_argument(
        "--format", choices=["hf", "ollama"], default="hf",
        help="hf: weights and a chat template that holds the contexts (vLLM, transformers serve; default); ollama: "
        "with a Modelfile that holds the default context",
    )  # fmt: skip
    parser.add_argument(
        "--contexts", choices=["lead", "all"],
        help="all: a request may name any context, and the topics of the run are exported, with the training questions "
        "that were scored; lead: that one alone, and no questions (default: all, with what was gated as the "
        "context of a request that names none)",
    )  # fmt: skip
    parser.add_argument("--merge", action="store_true", help="add LoRA adapters to the base's weights")
    parser.add_argument(
        "--dtype", choices=["float32", "bfloat16", "float16"],
        help="type of the weights (default: as in the bundle; another one gives other answers)",
    )  # fmt: skip
    parser.add_argument(
        "--verdict", metavar="FILE",
        help="the verdict of fastslow gate --json (default: that by which a registry's version was promoted)",
    )  # fmt: skip
    parser.add_argument("--trust_task", action="store_true", help="run the embedder that the bundle names")
    return parser.parse_args(list(argv))
