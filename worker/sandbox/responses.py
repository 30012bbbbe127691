"""Answers in Refer2's form: JSON, and ``{"id", "message"}`` for an error."""

import json
from typing import Any

from aiohttp import web

from worker.model.rehearsal import TEXTS

_JSON = "application/json"


class RefusedError(Exception):
    """Ends a call with an error answer. ``code`` is Refer2's error id; ``retry_after`` is in whole seconds."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after

    def response(self) -> web.Response:
        """The answer; its message says that it comes from the sandbox."""
        response = json_response(encode({"id": self.code, "message": TEXTS + self.message}), self.status)
        if self.retry_after is not None:
            response.headers["Retry-After"] = str(self.retry_after)
        return response


def encode(value: Any) -> bytes:
    """Compact JSON in ASCII, in which lone surrogates survive as escapes."""
    return json.dumps(value, separators=(",", ":")).encode()


def json_response(body: bytes, status: int = 200) -> web.Response:
    """An answer with a body that is JSON already."""
    return web.Response(body=body, status=status, content_type=_JSON)
