"""Bad answers on the wire."""

import asyncio
import socket
import struct

from aiohttp import web

from worker.sandbox.misbehaviour import Kind
from worker.sandbox.responses import json_response

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def page(status: int, retry_after: int | None) -> web.Response:
    """What a proxy or a firewall in between would say."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if status // 100 == 3:
        headers["Location"] = "/_sandbox/elsewhere"
    return web.Response(
        status=status, text=f"<html><title>{status}</title></html>", content_type="text/html", headers=headers
    )


async def lose_answer(request: web.Request, kind: Kind, answer: bytes, stopping: asyncio.Event) -> web.StreamResponse:
    """Answer a call in a way that tells the caller nothing. `timeout` blocks until the sandbox stops.

    The response returned after a cut connection is for aiohttp, which finds nobody to send it to.
    """
    match kind:
        case "not_json":
            return web.Response(text="<html>it went well</html>", content_type="application/json")
        case "no_referral":
            return json_response(b'{"message":"it went well"}')
        case "truncated":
            _cut(request, answer)
        case "timeout":
            await stopping.wait()
            _reset(request)
        case _:
            _reset(request)
    return web.Response()


def _cut(request: web.Request, answer: bytes) -> None:
    if request.transport is not None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
        request.transport.write(head.encode() + answer[: len(answer) // 2])
        request.transport.close()


def _reset(request: web.Request) -> None:
    if request.transport is not None:
        # Without lingering, a close sends RST instead of an orderly FIN.
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        request.transport.abort()
