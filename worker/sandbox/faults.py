"""Bad answers on the wire: pages of a proxy, and answers that get lost."""

import asyncio
import socket
import struct

from aiohttp import web

from worker.sandbox.misbehaviour import Kind
from worker.sandbox.responses import json_response

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def page(status: int, retry_after: int | None) -> web.Response:
    """An HTML page, as a proxy or a firewall in between sends it; 3xx redirects elsewhere."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if status // 100 == 3:
        headers["Location"] = "/_sandbox/elsewhere"
    return web.Response(
        status=status, text=f"<html><title>{status}</title></html>", content_type="text/html", headers=headers
    )


async def lose_answer(request: web.Request, kind: Kind, answer: bytes, stopping: asyncio.Event) -> web.StreamResponse:
    """Answer a call so that the caller learns nothing from it. `timeout` waits until the sandbox stops.

    After the connection is cut, aiohttp still needs a response, which it then can't send.
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
    # Past aiohttp, which would correct the length: the header promises twice the bytes that are sent.
    if request.transport is not None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
        request.transport.write(head.encode() + answer[: len(answer) // 2])
        request.transport.close()


def _reset(request: web.Request) -> None:
    if request.transport is not None:
        # With SO_LINGER of 0 s a close sends RST, and not the FIN of an orderly end.
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        request.transport.abort()
