"""The store that processes share: Redis 6.2 or later, or Valkey."""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from importlib import resources
from typing import Any

import redis
import structlog
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from worker.clock import DAY, Clock
from worker.errors import ConfigurationError, StoreError
from worker.jobs import OUTCOMES, Outcome
from worker.store.base import GRANT_LIFETIME, LEASE_MARGIN, Ask, Closed, ClosedReason, Go, Reply, Seen, Wait

TIMEOUT_SECONDS = 0.5
"""A store that takes longer is out of reach: no call may start, and the gate closes until it answers again."""

HORIZON = GRANT_LIFETIME
"""How far ahead of its instant a call may be granted, so that processes need not come for every single token."""

SHORTEST_TURN = 50_000
"""Microseconds between the turns that processes are given at a busy shop. At 50 calls a second each turn finds two or
three tokens; without turns, 50 processes asked 51 times for each call."""

MOST_IN_A_PIPELINE = 500

PREFIX = "rd:"

_SCRIPTS = ("admit", "answer", "retry", "release", "settle", "block")
_REASONS: dict[int, ClosedReason] = {1: "rate", 2: "day_quota", 3: "throttled"}
_EVICTING = ("allkeys", "volatile")
_OUTCOME_CODE = {outcome: str(code) for code, outcome in enumerate(OUTCOMES)}

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Operation:
    script: str
    keys: list[bytes]
    arguments: list[Any]
    done: Callable[[Any], None]
    """Told the script's reply, or a StoreError; runs in the store's thread."""


class RedisStore:
    """Limits and ledger that any number of processes share.

    One thread sends what all others ask for, gathered into pipelines; a command costs a tenth of a round trip of its
    own. Nothing is tried again here: a time-out is a :class:`StoreError`, and what it may have done is undone by the
    job's lease. The server's clock decides; instants are converted to ours as they pass.

    ``url`` is ``redis://``, ``rediss://`` (TLS, verified) or ``unix://``, with user and password of an ACL if any.
    ``retention`` is how long finished jobs are remembered, in microseconds.
    """

    def __init__(self, url: str, clock: Clock, *, retention: int = 30 * DAY, server_clock: str = "") -> None:
        """``server_clock`` is Lua that defines ``now_us()`` anew: for tests that move the server's time."""
        self._clock = clock
        # Periods of half the retention, of which three are kept: a job is remembered for one to one and a half times.
        self._keep = retention
        self._period = max(retention // 2, 1)
        try:
            self._redis = redis.Redis.from_url(
                url,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError:
            raise ConfigurationError("REFERRALS_REDIS_URL: is not a URL like redis://host:6379/0") from None
        self._sources = {name: _source(name, server_clock) for name in _SCRIPTS}
        self._digests = {
            name: hashlib.sha1(text, usedforsecurity=False).hexdigest() for name, text in self._sources.items()
        }
        self._news = threading.Condition()
        self._waiting: deque[_Operation] = deque()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """See that the server can be relied on.

        Raises:
          StoreError: it is out of reach.
          ConfigurationError: it may drop our keys when its memory is full.
        """
        try:
            info: Any = self._redis.info("memory")
        except RedisError as error:
            raise self._failed(error) from error
        policy = str(info.get("maxmemory_policy", "noeviction"))
        if policy.startswith(_EVICTING) and info.get("maxmemory"):
            raise ConfigurationError(
                f"REFERRALS_REDIS_URL: the server may drop the ledger when its memory is full (maxmemory-policy "
                f"{policy}); set maxmemory-policy noeviction, or give this system a server of its own"
            )

    def close(self) -> None:
        """Send what is waiting and disconnect."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join()
        self._redis.close()

    def submit(self, asks: Sequence[Ask], reply: Callable[[list[Reply] | StoreError], None], *, turn: bool) -> None:
        """As :class:`worker.store.base.Store` says; ``reply`` runs in the store's thread."""
        first = asks[0]
        shop, limits = first.shop, first.limits
        step = max(limits.shop.interval, SHORTEST_TURN)
        # What a turn can find, and one more that is told of the next turn in the same breath.
        batch = step // limits.shop.interval + 1
        keys = [self._shop_key(shop)]
        arguments: list[Any] = [
            self._prefix(shop),
            self._period,
            HORIZON,
            GRANT_LIFETIME,
            first.lease + LEASE_MARGIN,
            self._keep,
            int(turn),
            limits.shop.interval,
            limits.shop.burst,
            limits.shop_per_day,
            limits.customer.interval,
            limits.customer.burst,
            limits.customer_per_day,
            limits.resets_at,
            step,
        ]
        for ask in asks:
            keys += [self._customer_key(shop, ask.customer), self._record_key(ask)]
            arguments += [_short(ask.job_id), int(bool(ask.customer)), int(ask.place is not None)]

        def done(answer: Any) -> None:
            reply(answer if isinstance(answer, StoreError) else self._replies(answer, batch))

        self._send(_Operation("admit", keys, arguments, done))

    def admit(self, ask: Ask) -> Reply:
        """Ask for one job and wait for the answer.

        Raises:
          StoreError: the store is out of reach.
        """
        future: Future[list[Reply]] = Future()

        def reply(replies: list[Reply] | StoreError) -> None:
            if isinstance(replies, StoreError):
                future.set_exception(replies)
            else:
                future.set_result(replies)

        self.submit([ask], reply, turn=False)
        return future.result()[0]

    def answer(self, ask: Ask, epoch: int, result: str) -> bool:
        return bool(self._wait("answer", self._job_keys(ask), [*self._job(ask, epoch), result]))

    def retry(self, ask: Ask, epoch: int, not_before: int) -> bool:
        wait = max(0, not_before - self._clock.now())
        return bool(self._wait("retry", self._job_keys(ask), [*self._job(ask, epoch), wait]))

    def release(self, ask: Ask, epoch: int, *, called: bool) -> None:
        limits = ask.limits
        self._wait(
            "release",
            [*self._job_keys(ask), self._customer_key(ask.shop, ask.customer)],
            [
                epoch,
                int(called),
                self._keep,
                limits.shop.interval,
                limits.customer.interval,
                limits.resets_at,
                int(bool(ask.customer)),
            ],
        )

    def settle(self, ask: Ask, epoch: int, outcome: Outcome) -> None:
        def done(answer: Any) -> None:
            if isinstance(answer, StoreError):
                # The ledger still says answered: another copy would publish the result again and call nobody.
                log.warning("settle_failed", job_id=ask.job_id, problem=str(answer))

        arguments = [*self._job(ask, epoch), _OUTCOME_CODE[outcome]]
        self._send(_Operation("settle", self._job_keys(ask), arguments, done))

    def block(self, shop: str, customer: str | None, until: int) -> None:
        key = self._shop_key(shop) if customer is None else self._customer_key(shop, customer)
        keep = max(self._keep, 3 * self._period) if customer is None else 0
        self._wait("block", [key], [max(0, until - self._clock.now()), keep])

    def _wait(self, script: str, keys: list[bytes], arguments: list[Any]) -> Any:
        future: Future[Any] = Future()

        def done(answer: Any) -> None:
            if isinstance(answer, StoreError):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        self._send(_Operation(script, keys, arguments, done))
        return future.result()

    def _send(self, operation: _Operation) -> None:
        with self._news:
            self._waiting.append(operation)
            if len(self._waiting) == 1:
                self._news.notify()

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_IN_A_PIPELINE))]
            self._exchange(batch)

    def _exchange(self, batch: list[_Operation]) -> None:
        try:
            answers = self._pipeline(batch)
            missing = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            if missing:
                # A new server, a failover or SCRIPT FLUSH; what was refused for it has not run.
                for source in self._sources.values():
                    self._redis.script_load(source)
                again = self._pipeline([batch[number] for number in missing])
                for number, answer in zip(missing, again, strict=True):
                    answers[number] = answer
        except RedisError as error:
            answers = [error] * len(batch)
        for operation, answer in zip(batch, answers, strict=True):
            operation.done(self._failed(answer) if isinstance(answer, Exception) else answer)

    def _pipeline(self, batch: list[_Operation]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for operation in batch:
            pipeline.evalsha(
                self._digests[operation.script], len(operation.keys), *operation.keys, *operation.arguments
            )
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        return answers

    def _failed(self, error: BaseException) -> StoreError:
        # The texts of redis-py name host and port, never the password; a script's error can quote arguments.
        text = str(error).splitlines()[0][:120] if isinstance(error, redis.ConnectionError) else ""
        failure = StoreError(
            f"the store is out of reach ({text or type(error).__name__}); is REFERRALS_REDIS_URL right?"
        )
        failure.__cause__ = error
        return failure

    def _replies(self, answer: list[Any], batch: int) -> list[Reply]:
        # From the server's clock to ours: what lies between the two here is the way back, some microseconds.
        offset = self._clock.now() - answer[0]
        return [_reply(item, offset, batch) for item in answer[1:]]

    def _job(self, ask: Ask, epoch: int) -> list[Any]:
        return [self._prefix(ask.shop), self._period, _short(ask.job_id), epoch, self._keep]

    def _job_keys(self, ask: Ask) -> list[bytes]:
        return [self._record_key(ask), self._shop_key(ask.shop)]

    @staticmethod
    def _prefix(shop: str) -> bytes:
        # The braces keep a shop's keys together on a cluster.
        return f"{PREFIX}{{{shop}}}:".encode()

    def _shop_key(self, shop: str) -> bytes:
        return self._prefix(shop) + b"s"

    def _record_key(self, ask: Ask) -> bytes:
        return self._prefix(ask.shop) + b"j:" + _short(ask.job_id)

    def _customer_key(self, shop: str, customer: str) -> bytes:
        # Hashed: an address is not to be read in a key, and it may be long.
        return self._prefix(shop) + b"c:" + hashlib.blake2b(customer.encode(), digest_size=12).digest()


def _reply(item: list[Any], offset: int, batch: int) -> Reply:
    match item:
        case [1, epoch, start_at, start_by, attempts, takeovers]:
            return Go(epoch, start_at + offset, start_by + offset, attempts, takeovers)
        case [2, until, reason]:
            return Closed(until + offset, _REASONS[reason], batch)
        case [3, scope, until]:
            return Wait("customer" if scope == 1 else "job", until + offset)
        case [4, epoch, result]:
            return Seen(epoch, result.decode() if result is not None else None)
        case _:
            raise StoreError("the store answers in another version's form; run one version of the scripts")


def _short(job_id: str) -> bytes:
    # 96 bits: among a thousand million jobs of a shop two collide with a probability of 1 in 10^11.
    return bytes.fromhex(job_id)[:12]


def _source(name: str, server_clock: str) -> bytes:
    folder = resources.files("worker.store") / "lua"
    return (folder / "common.lua").read_bytes() + server_clock.encode() + (folder / f"{name}.lua").read_bytes()
