"""`fastslow serve BUNDLE`."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fastslow.cli.flags import Parser, between
from fastslow.core.errors import BadInput
from fastslow.core.extras import how_to_install

NEEDED = ("starlette", "uvicorn", "httpx", "prometheus_client")


def run(argv: Sequence[str]) -> int:
    """Serve a bundle until a signal says stop."""
    options = _options(argv)
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise BadInput(f"fastslow serve needs {', '.join(missing)}: {how_to_install('serve')}.")
    named = (options.api_key, options.upstream_key, options.shadow_key)
    keys = {name: _from_environment(name) for name in named if name}
    Console(stderr=True).print("[dim]loading libraries ...[/dim]")
    from fastslow.cli.released import gated_contexts
    from fastslow.cli.train import quiet_libraries
    from fastslow.registry.registry import resolve
    from fastslow.serving.app import Limits
    from fastslow.serving.server import ServeSettings, serve
    from fastslow.serving.upstream import is_loopback

    quiet_libraries()

    def found(name: str) -> Path:
        exported = os.path.isfile(Path(name) / "contexts.json")
        return Path(name) if exported else resolve(name)

    folder, gated = found(options.path), gated_contexts(options.path)
    settings = ServeSettings(
        upstream=options.upstream,
        choose=options.choose or gated or "lead",
        host=options.host,
        port=options.port,
        name=options.name or _name(options.path),
        upstream_model=options.upstream_model,
        upstream_key=keys.get(options.upstream_key),
        upstream_takes_arguments=not options.no_template_arguments,
        key=keys.get(options.api_key),
        log=Path(options.log) if options.log else None,
        shadow=found(options.shadow) if options.shadow else None,
        shadow_choose=gated_contexts(options.shadow) if options.shadow else None,
        shadow_upstream=options.shadow_upstream,
        shadow_key=keys.get(options.shadow_key),
        shadow_share=options.shadow_share,
        seconds=options.timeout,
        limits=Limits(body=options.max_body, open=options.max_requests),
        device=options.device,
        trusted=options.trust_task,
    )
    if settings.key is None and not is_loopback(settings.host):
        _say(f"note: everybody who reaches {settings.host} may ask this server; --api_key NAME asks for a key")

    if gated not in (None, settings.choose):
        _say(f"note: this version was gated with --choose {gated}; with {settings.choose} it was not")

    def ready(url: str) -> None:
        released = ", as they were gated" if gated == settings.choose else ""
        beside = f"; beside it {options.shadow} for {settings.shadow_share:.0%}" if options.shadow else ""
        _say(f"{url} serves {settings.name}, contexts by {settings.choose}{released}{beside}; Ctrl-C stops it")

    serve(folder, settings, ready)
    return 0


def _say(text: str) -> None:
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def _from_environment(name: str) -> str:
    """Return a key from the environment: on a command line, everybody on the machine could read it."""
    value = os.environ.get(name, "")
    if not value.strip():
        raise BadInput(f"the environment variable '{name}' is not set; give the name of a variable that holds the key.")
    if not value.isascii() or not value.isprintable():
        raise BadInput(f"the key in the environment variable '{name}' has signs that no header can hold.")
    return value.strip()


def _name(path: str) -> str:
    """Return a name for the model: that of the run, the exported folder or the registry."""
    folder = Path(path.rpartition("@")[0] or path).resolve()
    name = folder.parent.name if folder.name == "bundle" else folder.name
    return re.sub(r"[^A-Za-z0-9._-]", "-", name) or "fastslow"


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="fastslow serve",
        description="Answer requests in OpenAI's form, each under the context that its question asks for.",
    )
    parser.add_argument("path", metavar="BUNDLE", help="a run, a bundle, an exported folder, or REGISTRY@champion")
    parser.add_argument(
        "--upstream", metavar="URL",
        help="the server of the weights, such as http://127.0.0.1:8001/v1 (default: transformers serve is started)",
    )  # fmt: skip
    parser.add_argument(
        "--choose", choices=["lead", "seed", "cluster", "nearest", "retrieved"],
        help="the context of a request: the lead, the seed, or by its first question, as fastslow eval chooses "
        "(default: what was gated of a registry's version or its export, else the lead)",
    )  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: this machine alone)")
    parser.add_argument("--port", type=_port, default=8000, help="0: any free one (default 8000)")
    parser.add_argument("--name", help="of the model, for clients (default: the folder's)")
    parser.add_argument(
        "--upstream_model", metavar="NAME", help="the model's name at the upstream (default: none is sent)"
    )
    parser.add_argument("--upstream_key", metavar="VARIABLE", help="environment variable with the upstream's key")
    parser.add_argument(
        "--no_template_arguments", action="store_true",
        help="for upstreams that refuse the field chat_template_kwargs, as hosted ones do",
    )  # fmt: skip
    parser.add_argument(
        "--api_key", metavar="VARIABLE", help="environment variable with the key that clients must send"
    )
    parser.add_argument("--log", metavar="FILE", help="append a line of JSON a request: choices and lengths, no text")
    parser.add_argument("--shadow", metavar="CANDIDATE", help="a second version that gets a share of the requests too")
    parser.add_argument("--shadow_upstream", metavar="URL", help="the server of its weights")
    parser.add_argument("--shadow_key", metavar="VARIABLE", help="environment variable with that server's key")
    parser.add_argument("--shadow_share", type=_share, default=0.1, help="above 0, at most 1 (default 0.1)")
    parser.add_argument("--max_body", type=_positive, default=2**20, help="bytes of a request (default 1048576)")
    parser.add_argument("--max_requests", type=_positive, default=512, help="requests at once (default 512)")
    parser.add_argument("--timeout", type=_seconds, default=600.0, help="seconds to wait for the upstream's next byte")
    parser.add_argument("--device", default="auto", help="of torch, for the server that is started (default auto)")
    parser.add_argument("--trust_task", action="store_true", help="run the embedder that the bundle names")
    options = parser.parse_args(list(argv))
    if options.upstream and options.shadow and not options.shadow_upstream:
        raise BadInput("--shadow beside --upstream needs the server of the candidate's weights: --shadow_upstream URL.")
    if options.shadow_upstream and not options.shadow:
        raise BadInput("--shadow_upstream needs --shadow CANDIDATE.")
    return options


def _port(text: str) -> int:
    return between(text, "a port from 0 to 65535", lambda value: 0 <= value <= 65_535, int)


def _positive(text: str) -> int:
    return between(text, "a whole number from 1 to a thousand million", lambda value: 1 <= value <= 10**9, int)


def _share(text: str) -> float:
    return between(text, "above 0 and at most 1", lambda value: 0 < value <= 1)


def _seconds(text: str) -> float:
    return between(text, "above 0 and at most a day", lambda value: 0 < value <= 86_400)
