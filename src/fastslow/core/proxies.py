"""Name the proxies that the environment asks for, as HTTP clients read them: by variable, never by value.

A proxy's URL may hold a password.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.request import proxy_bypass

SCHEMES = ("all", "https", "http")


def proxies() -> Iterator[tuple[str, str]]:
    """Yield name and value of each variable with a proxy; of two spellings the lower one counts."""
    for scheme in SCHEMES:
        name = next((n for n in (f"{scheme}_proxy", f"{scheme}_proxy".upper()) if os.environ.get(n)), None)
        if name is not None:
            yield name, os.environ[name]


def proxy_for(scheme: str, host: str) -> str | None:
    """Return the name of the variable whose proxy a request to this host goes through; None without one."""
    found = {name.lower(): name for name, _ in proxies()}
    return None if proxy_bypass(host) else found.get(f"{scheme}_proxy", found.get("all_proxy"))
