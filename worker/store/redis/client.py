"""The connection to Redis: one thread of its own gathers scripts into pipelines and runs them."""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import redis
import structlog
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from worker.errors import ConfigurationError, StoreError
from worker.network.addresses import authority
from worker.store.redis.options import client_options
from worker.store.redis.ports import wrong_scheme
from worker.store.redis.refusals import TIMEOUT_SECONDS, UNSPOKEN, Refusal, refusal
from worker.store.redis.round_trips import RoundTrips, Run

MOST_IN_A_PIPELINE = 500
"""Commands that one round trip carries. At some 20 us each (docs/store.md) they take the server 10 ms, far below the
time-out."""

_SLOTS = "16384"
"""All slots of a cluster, as its INFO counts them."""

_EVICTING = ("allkeys", "volatile")

log = structlog.get_logger(__name__)


class _Operation(NamedTuple):
    run: Run
    done: Callable[[Any], None]


class _Awaited:
    # A Future's condition and its lock cost a call 8 us; one lock that the answer opens does as well.

    __slots__ = ("_answered", "answer")

    def __init__(self) -> None:
        self._answered = threading.Lock()
        self._answered.acquire()
        self.answer: Any = None

    def done(self, answer: Any) -> None:
        self.answer = answer
        self._answered.release()

    def wait(self) -> Any:
        self._answered.acquire()
        return self.answer


Watch = Callable[[float, int], None]
"""Called after each round trip with its length in seconds and how many commands failed; runs on the store's thread."""


def _nobody_watches(seconds: float, failed: int) -> None:
    del seconds, failed


class Server:
    """Runs scripts on one Redis. Safe to use from any thread.

    One thread, named ``store``, sends what all others ask for. What waits at one moment goes as one pipeline: gathered
    so, a command costs a tenth of what it costs alone.

    Only the caller retries: the client library's own retries are off. A time-out is a :class:`StoreError`, and the
    command may have run all the same. The caller may send it again: :mod:`worker.store` says why that is safe.
    """

    def __init__(self, url: str, scripts: Mapping[str, str], watch: Watch = _nobody_watches) -> None:
        """``scripts`` has the Lua source of each script by its name. ``watch`` is called after each round trip.

        Raises:
          ConfigurationError: no address can be read from the URL. Nothing is connected yet.
        """
        try:
            self._redis = redis.Redis.from_url(
                url,
                **client_options(url),
                protocol=2,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                # Only the caller retries: it alone knows whether the call may still start.
                retry=Retry(NoBackoff(), 0),
            )
            self._url, self._place = url, _place(url)
        except ValueError:
            raise ConfigurationError("REFERRALS_REDIS_URL: is not a URL like redis://host:6379/0") from None
        self._scripts = scripts
        self._watch = watch
        self._round_trips = RoundTrips(self._redis, scripts)
        self._waiting: queue.SimpleQueue[_Operation | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    def check(self, key: str) -> None:
        """Check that the server accepts us and can be relied on. Writes ``key``, which expires at once. Blocks.

        Runs on the caller's thread, before the store's has anything to send.

        Raises:
          StoreError: the server is out of reach, or a replica.
          ConfigurationError: it refuses us, has only some shops' keys, or may drop keys when its memory is full.
        """
        try:
            memory: Any = self._redis.info("memory")
            cluster: Any = self._redis.info("cluster")
            self._redis.set(key, b"", px=1)
            for source in self._scripts.values():
                self._redis.script_load(source)
            if cluster.get("cluster_enabled"):
                self._refuse_part_of_a_cluster()
        except RedisError as error:
            self._redis.connection_pool.disconnect(inuse_connections=False)
            why = refusal(error)
            if why.reason in UNSPOKEN and (scheme := wrong_scheme(self._url)):
                why = Refusal("tls", scheme, vain=True)
            problem = self._told(why, error)
            if why.vain:
                raise ConfigurationError(str(problem)) from error
            raise problem from error
        policy = str(memory.get("maxmemory_policy", "noeviction"))
        if policy.startswith(_EVICTING) and memory.get("maxmemory"):
            raise ConfigurationError(
                f"REFERRALS_REDIS_URL: {self._place} may drop the ledger when its memory is full (maxmemory-policy "
                f"{policy}); set maxmemory-policy noeviction, or give this system its own server"
            )

    def _refuse_part_of_a_cluster(self) -> None:
        # The key of this check may be on this node while a shop's keys are on another.
        state: Any = self._redis.execute_command("CLUSTER INFO")  # type: ignore[no-untyped-call] # no types there
        if (state.get("cluster_size"), state.get("cluster_slots_ok")) != ("1", _SLOTS):
            raise ConfigurationError(
                f"REFERRALS_REDIS_URL: {self._place} is a node of a cluster and does not have all of its slots: the "
                "keys of some shops are elsewhere; name a single server, or a proxy in front of the cluster"
            )

    @property
    def generation(self) -> int:
        """Rises with each new connection, before any answer over it is heard of. From any thread."""
        return self._round_trips.generation

    def send(self, script: str, keys: Sequence[bytes], arguments: Sequence[Any], done: Callable[[Any], None]) -> None:
        """Run a script without waiting. ``done`` gets its reply, or a StoreError, on the store's thread."""
        with self._closing:
            closed = self._closed
            if not closed:
                self._waiting.put(_Operation(Run(script, keys, arguments), done))
        if closed:
            done(StoreError("the store is closed"))

    def call(self, script: str, keys: Sequence[bytes], arguments: Sequence[Any]) -> Any:
        """Run a script and wait for its reply.

        Raises:
          StoreError: the server is out of reach or can't run it.
        """
        awaited = _Awaited()
        self.send(script, keys, arguments, awaited.done)
        answer = awaited.wait()
        if isinstance(answer, StoreError):
            raise answer
        return answer

    def close(self) -> None:
        """Send what is waiting and disconnect."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        self._thread.join()
        self._round_trips.let_go()
        self._redis.close()

    def _run(self) -> None:
        while (batch := self._gathered()) is not None:
            for operation, answer in zip(batch, self._exchange(batch), strict=True):
                try:
                    operation.done(answer)
                except Exception as error:  # noqa: BLE001 - one caller's mistake must not keep replies from the others
                    log.error("store_callback_failed", script=operation.run.script, error=type(error).__name__)

    def _gathered(self) -> list[_Operation] | None:
        """Whatever came while the last round trip was under way: the busier, the larger. None once it is closed."""
        operation = self._waiting.get()
        if operation is None:
            return None
        batch = [operation]
        with suppress(queue.Empty):
            while len(batch) < MOST_IN_A_PIPELINE:
                operation = self._waiting.get_nowait()
                if operation is None:
                    # Nothing comes after it; the next look finds it again.
                    self._waiting.put(None)
                    break
                batch.append(operation)
        return batch

    def _exchange(self, batch: list[_Operation]) -> list[Any]:
        began = time.monotonic()
        try:
            answers = self._round_trips.run([operation.run for operation in batch])
        except Exception as error:  # noqa: BLE001 - the client raises more than it documents; the thread must outlive it
            answers = [error] * len(batch)
        failed = sum(isinstance(answer, Exception) for answer in answers)
        if failed and any(isinstance(answer, Exception) and refusal(answer).moves for answer in answers):
            # A server that is no longer the primary keeps answering on open connections. Behind its name there may be
            # another server by now, which only a new connection finds.
            self._round_trips.let_go()
        try:
            self._watch(time.monotonic() - began, failed)
        except Exception as error:  # noqa: BLE001 - nor may a counter end it
            log.error("store_watch_failed", error=type(error).__name__)
        if not failed:
            return answers
        return [self._failed(answer) if isinstance(answer, Exception) else answer for answer in answers]

    def _failed(self, error: Exception) -> StoreError:
        return self._told(refusal(error), error)

    def _told(self, why: Refusal, error: Exception) -> StoreError:
        failure = StoreError(f"the store at {self._place} {why.text}", reason=why.reason)
        failure.__cause__ = error
        return failure


def _place(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    # With an unescaped / or # in a password, a part of it would be taken for the host's name and shown.
    if not parts.hostname or "@" in parts.path + parts.fragment or not (parts.path.strip("/") or "0").isdecimal():
        raise ValueError
    return authority(parts.hostname, parts.port or 6379)
