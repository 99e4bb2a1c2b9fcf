"""Refuse a request as OpenAI's API does, so that any client of it shows why."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse


class Refused(Exception):
    """Raised where a request is not passed on, or its answer cannot be.

    `status` is that of HTTP; `kind`, `code` and `field` are `type`, `code` and `param` of OpenAI's error.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        field: str | None = None,
    ):
        super().__init__(message)
        self.status, self.kind, self.code, self.field = status, kind, code, field

    def body(self) -> dict[str, Any]:
        """Return the error as OpenAI's API words it."""
        error = {"message": str(self), "type": self.kind, "param": self.field, "code": self.code}
        return {"error": error}

    def response(self) -> JSONResponse:
        # Whatever is left of a refused request is not read, so the connection cannot serve another one.
        return JSONResponse(self.body(), self.status, headers={"connection": "close"})


def failed(message: str, *, status: int = 502, code: str = "upstream_error") -> Refused:
    """Return the refusal for a server behind that failed."""
    return Refused(message, status=status, kind="server_error", code=code)
