"""Keeps publishers between the calls of :func:`worker.publish`, whose threads share them.

A connection takes longer to open than a job takes to be confirmed, and a web application publishes one job at a time.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from worker.process.kept import KeptByProcess
from worker.rabbitmq.connection import Parameters, connect
from worker.rabbitmq.publisher import Publisher

LAST_WORDS_SECONDS = 1.0
"""How long the end of a program waits for confirms. A call has waited for its own, so only a cut-off one has some."""


@dataclass(eq=False)
class _Kept:
    publisher: Publisher
    users: int = 0


class KeptPublishers:
    """The publishers of this process, each connected once. May be used by any thread, and in a child after a fork.

    One that has lost its connection when a call begins is replaced, so that a call never waits for the pause between
    two attempts of the old one. It is closed once no call uses it: between calls nothing connects anew, or a web
    application whose RabbitMQ is away would try and log for ever.
    """

    def __init__(self) -> None:
        self._kept: KeptByProcess[_Kept] = KeptByProcess(_end)

    @contextmanager
    def lend(self, key: Hashable, params: Callable[[], Parameters]) -> Iterator[Publisher]:
        """A connected publisher, shared by all calls that give the same ``key``. Blocks while the first one connects.

        ``params`` is called only to connect: with TLS it reads the trusted certificates, which takes 20 ms of CPU.

        If the body raises, the publisher is lent to nobody else: it may hold messages of the body, which are dropped
        once the others are done.

        Raises:
          BrokerError, ConfigurationError: as ``params`` and `worker.rabbitmq.connection.connect` say.
        """
        taken = self._take(key)
        kept = taken or self._new(key, params())
        try:
            # In here: if Ctrl-C ends this call, nobody else knows of the thread and would end it.
            if taken is None:
                self._start(key, kept)
            yield kept.publisher
        except BaseException:
            self._retire(key, kept)
            raise
        finally:
            self._leave(key, kept)

    def close(self) -> None:
        """Disconnect all; what is not confirmed within :data:`LAST_WORDS_SECONDS` is dropped."""
        self._kept.close()

    def _take(self, key: Hashable) -> _Kept | None:
        own = self._kept.own
        with own.lock:
            kept = own.entries.get(key)
            if kept is None or kept.publisher.problem is not None:
                return None
            kept.users += 1
            return kept

    def _new(self, key: Hashable, params: Parameters) -> _Kept:
        # A publisher connects in the background and retries for ever. This raises at once why there is no connection.
        connect(params).close()

        def listener(ready: bool) -> None:
            # On the publisher's thread.
            if not ready:
                self._close_unused(key, added)

        added = _Kept(Publisher(params, listener=listener, gives_up=True), users=1)
        return added

    def _start(self, key: Hashable, added: _Kept) -> None:
        added.publisher.start()
        own = self._kept.own
        with own.lock:
            old, own.entries[key] = own.entries.get(key), added
            unused = old is not None and old.users == 0
        if old is not None and unused:
            old.publisher.close(timeout=0)

    def _retire(self, key: Hashable, kept: _Kept) -> None:
        own = self._kept.own
        with own.lock:
            if own.entries.get(key) is kept:
                del own.entries[key]

    def _leave(self, key: Hashable, kept: _Kept) -> None:
        own = self._kept.own
        with own.lock:
            kept.users -= 1
            current = own.entries.get(key) is kept and kept.publisher.problem is None
        if not current:
            self._close_unused(key, kept)

    def _close_unused(self, key: Hashable, kept: _Kept) -> None:
        own = self._kept.own
        with own.lock:
            unused = kept.users == 0
            if unused and own.entries.get(key) is kept:
                del own.entries[key]
        if unused:
            kept.publisher.close(timeout=0)


def _end(kept: _Kept) -> None:
    kept.publisher.close(timeout=LAST_WORDS_SECONDS)


@cache
def kept_publishers() -> KeptPublishers:
    """Those of this process."""
    return KeptPublishers()
