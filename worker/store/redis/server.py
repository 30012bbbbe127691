"""The connection to Redis: scripts by name, gathered into pipelines by a thread of its own."""

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
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    BusyLoadingError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.retry import Retry

from worker.errors import ConfigurationError, StoreError
from worker.store.redis.options import client_options

TIMEOUT_SECONDS = 0.5
"""A server that takes longer is out of reach: no call may start, and the gate closes until it answers again."""

MOST_IN_A_PIPELINE = 500

_EVICTING = ("allkeys", "volatile")

_NO_PERMISSION = "gives this user too few permissions; docs/store.md has the ACL"
_NO_PERMISSION_IN_A_SCRIPT = ("ACL failure in script", "The user executing the script can't")
"""How Valkey and Redis 7, and how Redis 6.2 put it: as an error of the script."""

_PROBLEMS: list[tuple[type[RedisError], str]] = [
    (AuthenticationError, "refuses the user or the password"),
    (AuthenticationWrongNumberOfArgsError, "refuses the user or the password"),
    (NoPermissionError, _NO_PERMISSION),
    (NoScriptError, "forgets the scripts it is given; may this user load them? docs/store.md has the ACL"),
    (OutOfMemoryError, "has no memory left; raise maxmemory"),
    (ReadOnlyError, "is a read-only replica; name the primary"),
    (BusyLoadingError, "is still loading its data"),
    (MovedError, "is one node of a cluster; name a single server or a proxy"),
    (redis.TimeoutError, f"does not answer within {TIMEOUT_SECONDS:g} s"),
]
"""What is wrong with the server, the first that fits; all that isn't listed is told by its cause or its name."""

_ANOTHER_TRY_IS_VAIN = (AuthenticationError, AuthenticationWrongNumberOfArgsError, NoPermissionError, MovedError)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Operation:
    script: str
    keys: Sequence[bytes]
    arguments: Sequence[Any]
    done: Callable[[Any], None]


Watch = Callable[[float, int], None]
"""Told after a round trip of its length in seconds, and how many of its commands failed; runs in the store's thread."""


def _nobody_watches(seconds: float, failed: int) -> None:
    del seconds, failed


class Server:
    """Runs scripts on one Redis. Safe to use from any thread.

    One thread sends what all others ask for, gathered into pipelines: a command costs a tenth of a round trip of its
    own. Nothing is tried again here; a time-out is a :class:`StoreError`, and the command may have run.
    """

    def __init__(self, url: str, scripts: Mapping[str, str], watch: Watch = _nobody_watches) -> None:
        """``scripts`` is the Lua source of each script by its name; ``watch`` hears of each round trip.

        Raises:
          ConfigurationError: the URL can't be meant; nothing connects yet.
        """
        try:
            self._redis = redis.Redis.from_url(
                url,
                **client_options(url),
                protocol=2,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
            self._place = _place(url)
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
        """See that the server can be relied on and lets us in; ``key`` is written and expires at once.

        Raises:
          StoreError: it is out of reach, or a replica.
          ConfigurationError: it turns us away, or may drop our keys when its memory is full.
        """
        try:
            info: Any = self._redis.info("memory")
            self._redis.set(key, b"", px=1)
            for source in self._scripts.values():
                self._redis.script_load(source)
        except RedisError as error:
            problem = self._failed(error)
            if isinstance(error, _ANOTHER_TRY_IS_VAIN):
                raise ConfigurationError(str(problem)) from error
            raise problem from error
        policy = str(info.get("maxmemory_policy", "noeviction"))
        if policy.startswith(_EVICTING) and info.get("maxmemory"):
            raise ConfigurationError(
                f"REFERRALS_REDIS_URL: {self._place} may drop the ledger when its memory is full (maxmemory-policy "
                f"{policy}); set maxmemory-policy noeviction, or give this system a server of its own"
            )

    def send(self, script: str, keys: Sequence[bytes], arguments: Sequence[Any], done: Callable[[Any], None]) -> None:
        """Run a script without waiting. ``done`` is told its reply, or a StoreError, in this server's thread."""
        with self._news:
            closed = self._closed
            if not closed:
                self._waiting.append(_Operation(script, keys, arguments, done))
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
        self._thread.join()
        self._redis.close()

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_IN_A_PIPELINE))]
            for operation, answer in zip(batch, self._exchange(batch), strict=True):
                try:
                    operation.done(answer)
                except Exception as error:  # noqa: BLE001 - whatever a caller does wrong, the others are to be served
                    log.error("store_callback_failed", script=operation.script, error=type(error).__name__)

    def _exchange(self, batch: list[_Operation]) -> list[Any]:
        began = time.monotonic()
        try:
            answers = self._pipeline(batch)
            missing = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            if missing:
                # A new server, a failover or SCRIPT FLUSH; what was refused for it has not run.
                self._loaded = False
                again = self._pipeline([batch[number] for number in missing])
                for number, answer in zip(missing, again, strict=True):
                    answers[number] = answer
        except Exception as error:  # noqa: BLE001 - the client raises more than it documents; the thread must outlive it
            self._loaded = False
            answers = [error] * len(batch)
        try:
            self._watch(time.monotonic() - began, sum(isinstance(answer, Exception) for answer in answers))
        except Exception as error:  # noqa: BLE001 - nor may whoever counts end it
            log.error("store_watch_failed", error=type(error).__name__)
        return [self._failed(answer) if isinstance(answer, Exception) else answer for answer in answers]

    def _pipeline(self, batch: list[_Operation]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        # All of them at once: were only one missing, its commands would run after others that were sent later.
        loads = [] if self._loaded else list(self._scripts.values())
        for source in loads:
            pipeline.script_load(source)
        for operation in batch:
            digest = self._digests[operation.script]
            pipeline.evalsha(digest, len(operation.keys), *operation.keys, *operation.arguments)
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        self._loaded = True
        return answers[len(loads) :]

    def _failed(self, error: Exception) -> StoreError:
        problem = next((text for kind, text in _PROBLEMS if isinstance(error, kind)), None)
        if problem is None and any(sign in str(error) for sign in _NO_PERMISSION_IN_A_SCRIPT):
            problem = _NO_PERMISSION
        if problem is None and isinstance(error, redis.ConnectionError):
            problem = f"is out of reach ({_cause(error)}); is it running, is REFERRALS_REDIS_URL right?"
        # The text of an error in a script can quote arguments, a result among them.
        failure = StoreError(f"the store at {self._place} {problem or f'can not serve us ({type(error).__name__})'}")
        failure.__cause__ = error
        return failure


def _place(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    # A password with an unescaped / or # would be taken for the host's name and shown.
    if not parts.hostname or "@" in parts.path + parts.fragment or not (parts.path.strip("/") or "0").isdecimal():
        raise ValueError
    return f"{parts.hostname}:{parts.port or 6379}"


def _cause(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__
    return (cause.strerror if isinstance(cause, OSError) else None) or type(cause or error).__name__
