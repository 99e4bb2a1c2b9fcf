"""Make the HTTP client for an endpoint, with the proxies of the environment."""

from __future__ import annotations

from typing import Any

import openai

from fastslow.core.errors import BadInput
from fastslow.core.proxies import proxies


def http_client() -> Any:
    """Return a client that follows no redirect: one could take prompt and key to another host.

    Raises BadInput, naming the variable, where the environment asks for a proxy that cannot be used.
    """
    try:
        return openai.DefaultHttpxClient(follow_redirects=False)
    except Exception as error:  # a missing package, or any of the ways in which a URL is none
        raise BadInput(_explain(error)) from None  # the cause may hold the proxy's password


def _explain(error: Exception) -> str:
    for name, url in proxies():
        try:
            openai.DefaultHttpxClient(proxy=url if "://" in url else f"http://{url}", trust_env=False).close()
        except ImportError:
            return (
                f"the environment variable {name} names a SOCKS proxy, which needs the package socksio: "
                f"pip install 'httpx[socks]', or unset {name}."
            )
        except Exception:
            return f"the environment variable {name} holds no proxy's URL, such as http://HOST:PORT; mend or unset it."
    return f"the environment's proxies cannot be used ({type(error).__name__}): look at NO_PROXY, or unset it."
