"""Refer2's place in these tests: takes every call, and answers when it is told to."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

ANSWER = json.dumps({"referral": {"link": "https://example.com/r/1"}}).encode()


class Upstream:
    """Serves while in a ``with``; ``seconds`` is how long an answer takes, holding aside.

    ``arrivals`` are instants of the monotonic clock; ``finished`` counts callers that told of their answer.
    """

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.arrivals: list[float] = []
        self.finished = 0
        self._free = threading.Event()
        self._free.set()
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                if self.path.endswith("/finished"):
                    upstream.finished += 1
                else:
                    upstream.arrivals.append(time.monotonic())
                    upstream._free.wait(60)
                    time.sleep(seconds)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(ANSWER)))
                self.end_headers()
                self.wfile.write(ANSWER)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
                del format, args

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A caller that was killed in mid-call is what these tests are about."""
                del request, client_address

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def hold(self) -> None:
        """Answer nothing until :meth:`release`."""
        self._free.clear()

    def release(self) -> None:
        self._free.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
