"""Runs the emulator: in a thread of the calling process, or as a program."""

import asyncio
import errno
import signal
import socket
import sys
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from aiohttp import web

from worker.clock import Clock, SystemClock
from worker.errors import UsageError
from worker.network.addresses import authority
from worker.sandbox.api import CALL_LOG, create_app
from worker.sandbox.calls import Call
from worker.sandbox.config import SandboxConfig

_BACKLOG = 1024
_LAST_ANSWERS_SECONDS = 0.25
"""How long the last answers may take. At the end aiohttp waits in vain for bodies that are still on their way, so this
is short; the other answers need no time."""

_LAST_PORT = 65_535

_TURNS_TO_ACCEPT = 10
"""Turns of the event loop after which an accepted connection has been handed over: three in CPython 3.11 to 3.13."""


def serve(config: SandboxConfig, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM. Prints one line with the URL as soon as connections are accepted. Blocks.

    Raises:
      UsageError: the address can't be listened on.
      InputError: the log file can't be written.
    """
    app = create_app(config, SystemClock())
    asyncio.run(_serve(app, _listen(host, port)))


async def _serve(app: web.Application, listener: socket.socket) -> None:
    """Serve on this thread's event loop until a signal."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    runner = await _start(app, listener)
    sys.stdout.write(f"Refer2 sandbox on {_url(listener)}\n")
    sys.stdout.flush()
    await stop.wait()
    await _finish(runner, listener)


class RunningSandbox:
    """A sandbox in a daemon thread with its own event loop. It accepts calls as soon as it is constructed.

    Use it as a context manager, or :meth:`close` it.

    Raises:
      UsageError: the port is taken.
      InputError: the log file can't be written.
    """

    def __init__(
        self,
        config: SandboxConfig | None = None,
        clock: Clock | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        app = create_app(config or SandboxConfig(), clock or SystemClock())
        self._log = app[CALL_LOG]
        listener = _listen(host, port)
        self.url = _url(listener)
        """The base URL, without a trailing slash."""
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(_run(app, listener, started)), name="sandbox", daemon=True
        )
        self._thread.start()
        self._loop, self._stop = started.result()

    def calls(self) -> list[Call]:
        """The calls that were answered so far, in the order in which they arrived."""
        return self._log.calls()

    def summary(self) -> dict[str, dict[str, int]]:
        """The number of calls that were answered so far, by shop and code."""
        return self._log.summary()

    def close(self) -> None:
        """Stop serving: calls that are held back are answered 503, silent ones are cut. Blocks until that is done."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def _run(
    app: web.Application,
    listener: socket.socket,
    started: "Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]",
) -> None:
    """Serve until the event that ``started`` hands over is set. Runs on the sandbox's own thread."""
    try:
        runner = await _start(app, listener)
    except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits for the start
        started.set_exception(error)
        return
    stop = asyncio.Event()
    started.set_result((asyncio.get_running_loop(), stop))
    await stop.wait()
    await _finish(runner, listener)


async def _start(app: web.Application, listener: socket.socket) -> web.AppRunner:
    """Start serving; the listener is closed if that fails."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_LAST_ANSWERS_SECONDS)
    try:
        await runner.setup()
        await web.SockSite(runner, listener, backlog=_BACKLOG).start()
    except BaseException:
        listener.close()
        await runner.cleanup()
        raise
    return runner


async def _finish(runner: web.AppRunner, listener: socket.socket) -> None:
    """Stop serving without losing a connection that was just accepted."""
    # asyncio hands a connection over some turns of its loop after it was accepted. If the listener is closed in
    # between, CPython 3.11 fails an assertion and never closes the connection, so its caller would wait for ever.
    # Therefore: stop accepting, let these connections arrive, then close.
    asyncio.get_running_loop().remove_reader(listener)
    for _ in range(_TURNS_TO_ACCEPT):
        await asyncio.sleep(0)
    await runner.cleanup()


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; ``host`` may be an IPv6 address in brackets.

    Raises:
      UsageError: the port is none, is taken, or the address can't be listened on.
    """
    if not 0 <= port <= _LAST_PORT:
        raise UsageError(f"sandbox: {port} is not a port; choose one from 1 to {_LAST_PORT} with --port")
    # People copy the address from a URL, where IPv6 has brackets.
    host = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # `::` is meant to be every address of this machine, those of IPv4 too.
    both = host == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"sandbox: port {port} is in use; choose another with --port") from None
        raise UsageError(f"sandbox: can't listen on {host} port {port}: {error.strerror}") from None


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{authority(host, port)}"
