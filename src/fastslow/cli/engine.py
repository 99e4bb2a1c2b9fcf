"""Run `fastslow engine prepare`: write the folder that vLLM servers are started on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fastslow.cli.flags import Parser

SERVE = """\
Written: {folder}. Start a server on it (docs/engines.md), then train:

  VLLM_SERVER_DEV_MODE=1 vllm serve {folder} --host 127.0.0.1 --port 8001 --dtype {dtype} \\
    --logprobs-mode processed_logprobs --enable-prompt-tokens-details
  fastslow train --config RECIPE --model {model} --engine vllm --engine_urls http://127.0.0.1:8001"""


def run(argv: Sequence[str]) -> int:
    """Write the folder, and print how to serve it."""
    parser = Parser(
        prog="fastslow engine",
        description="Write a model as vLLM has to be started on it, with the head apart from the embedding. Trainer "
        "and servers must see the folder under the same path; the run writes its weights below it.",
    )
    parser.add_argument("action", choices=("prepare",))
    parser.add_argument("--model", required=True, help="as for train: 'smollm2-135m', a folder, or a hub id")
    parser.add_argument("--output", required=True, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), default="float32",
        help="type of the weights, and of the server that is started on them (default: float32)",
    )  # fmt: skip
    parser.add_argument("--trust_remote_code", action="store_true", help="run the code that comes with the model")
    args = parser.parse_args(list(argv))
    Console(stderr=True).print("[dim]loading libraries ...[/dim]")
    import torch

    from fastslow.cli.train import quiet_libraries
    from fastslow.core.paths import absolute
    from fastslow.policy.engines.servable import prepare
    from fastslow.policy.loading import load_model, load_tokenizer, resolve_model
    from fastslow.policy.pairing import make_fit

    quiet_libraries()
    source, folder = resolve_model(absolute(args.model)), Path(args.output).expanduser().absolute()
    model = load_model(source, trust_remote_code=args.trust_remote_code)
    tokenizer = load_tokenizer(source, trust_remote_code=args.trust_remote_code)
    make_fit(model, tokenizer)
    prepare(model, tokenizer, folder, name=args.model, dtype=getattr(torch, args.dtype))
    told = SERVE.format(folder=folder, dtype=args.dtype, model=args.model)
    Console().print(told, markup=False, highlight=False, soft_wrap=True)
    return 0
