"""Tell whether a URL stays on this machine, and whether two are one place."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def place_of(url: str) -> tuple[str, int]:
    """Return host and port of an http URL, the same for different ways to write it; a name is not looked up."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    return "127.0.0.1" if host == "localhost" else host, parts.port or (443 if parts.scheme == "https" else 80)


def is_loopback(url: str) -> bool:
    """Return whether the host of a URL is this machine by name or address; a name is not looked up."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
