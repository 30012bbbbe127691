"""The connection to Redis: one thread of its own gathers scripts into pipelines and runs them."""

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import redis
import structlog
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from worker.errors import ConfigurationError, StoreError
from worker.network.addresses import authority
from worker.store.redis.options import client_options
from worker.store.redis.ports import wrong_scheme
from worker.store.redis.refusals import TIMEOUT_SECONDS, UNSPOKEN, Refusal, refusal

MOST_IN_A_PIPELINE = 500
"""Commands that one round trip carries. At some 20 us each (docs/store.md) they take the server 10 ms, far below the
time-out."""

_SLOTS = "16384"
"""All slots of a cluster, as its INFO counts them."""

_EVICTING = ("allkeys", "volatile")

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Operation:
    script: str
    keys: Sequence[bytes]
    arguments: Sequence[Any]
    done: Callable[[Any], None]


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
        self._digests = {
            name: hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest() for name, source in scripts.items()
        }
        self._news = threading.Condition()
        self._waiting: deque[_Operation] = deque()
        self._closed = False
        self._loaded = False
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
            self._let_go()
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

    def send(self, script: str, keys: Sequence[bytes], arguments: Sequence[Any], done: Callable[[Any], None]) -> None:
        """Run a script without waiting. ``done`` gets its reply, or a StoreError, on the store's thread."""
        with self._news:
            closed = self._closed
            if not closed:
                self._waiting.append(_Operation(script, keys, arguments, done))
                # With more than one waiting the thread has been notified, or is busy and looks again by itself.
                if len(self._waiting) == 1:
                    self._news.notify()
        if closed:
            done(StoreError("the store is closed"))

    def call(self, script: str, keys: Sequence[bytes], arguments: Sequence[Any]) -> Any:
        """Run a script and wait for its reply.

        Raises:
          StoreError: the server is out of reach or can't run it.
        """
        future: Future[Any] = Future()
        self.send(script, keys, arguments, future.set_result)
        answer = future.result()
        if isinstance(answer, StoreError):
            raise answer
        return answer

    def close(self) -> None:
        """Send what is waiting and disconnect."""
        with self._news:
            self._closed = True
            self._news.notify()
        # The thread ends once nothing is waiting any more.
        self._thread.join()
        self._redis.close()

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                # Whatever came while the last round trip was under way: the busier, the larger the pipelines.
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_IN_A_PIPELINE))]
            for operation, answer in zip(batch, self._exchange(batch), strict=True):
                try:
                    operation.done(answer)
                except Exception as error:  # noqa: BLE001 - one caller's mistake must not keep replies from the others
                    log.error("store_callback_failed", script=operation.script, error=type(error).__name__)

    def _exchange(self, batch: list[_Operation]) -> list[Any]:
        began = time.monotonic()
        try:
            answers = self._pipeline(batch)
            missing = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            if missing:
                # A new server, a failover or SCRIPT FLUSH. A command that was refused for it has not run, so it may be
                # sent again here.
                self._loaded = False
                again = self._pipeline([batch[number] for number in missing])
                for number, answer in zip(missing, again, strict=True):
                    answers[number] = answer
        except Exception as error:  # noqa: BLE001 - the client raises more than it documents; the thread must outlive it
            self._loaded = False
            answers = [error] * len(batch)
        if any(isinstance(answer, Exception) and refusal(answer).moves for answer in answers):
            self._let_go()
        try:
            self._watch(time.monotonic() - began, sum(isinstance(answer, Exception) for answer in answers))
        except Exception as error:  # noqa: BLE001 - nor may a counter end it
            log.error("store_watch_failed", error=type(error).__name__)
        return [self._failed(answer) if isinstance(answer, Exception) else answer for answer in answers]

    def _pipeline(self, batch: list[_Operation]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        # All scripts at once: if only one were missing, its commands would run after others that were sent later.
        loads = [] if self._loaded else list(self._scripts.values())
        for source in loads:
            pipeline.script_load(source)
        for operation in batch:
            digest = self._digests[operation.script]
            pipeline.evalsha(digest, len(operation.keys), *operation.keys, *operation.arguments)
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        # Also where some answers are errors: the caller of this looks for NOSCRIPT among them.
        self._loaded = True
        return answers[len(loads) :]

    def _let_go(self) -> None:
        # A server that is no longer the primary keeps answering on open connections. Behind its name there may be
        # another server by now, which only a new connection finds. Connections in use on other threads are theirs to
        # close.
        self._loaded = False
        self._redis.connection_pool.disconnect(inuse_connections=False)

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
