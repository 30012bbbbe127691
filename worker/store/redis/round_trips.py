"""Round trips to Redis: many scripts written at once, their replies read in turn. For one thread.

redis-py makes the connection (TLS, passwords, time-outs) and frames its replies. Its pipeline is left out: between the
caller and the socket it does for every command what only transactions, clusters and caches need, which was a sixth of a
worker's CPU. hiredis, its own packer and parser, packs the commands here.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import hiredis
import redis
from redis.exceptions import NoScriptError, RedisError, ResponseError


class Run(NamedTuple):
    """One run of a script."""

    script: str
    keys: Sequence[bytes]
    arguments: Sequence[Any]


class RoundTrips:
    """Runs scripts on one server over a connection that it keeps.

    A reply that is an error is an answer like any other, as an exception. What raises is the round trip as a whole:
    then each of its commands may have run or not, and the connection is closed.
    """

    def __init__(self, client: redis.Redis, scripts: Mapping[str, str]) -> None:
        """``scripts`` has the Lua source of each script by its name."""
        self._pool = client.connection_pool
        self._connection: Any = None
        self._loads = b"".join(_packed("SCRIPT", "LOAD", source) for source in scripts.values())
        self._scripts = len(scripts)
        self._loaded = False
        self.generation = 0
        """How often the scripts were loaded: once over each connection, and where the server behind it has lost them.
        Whatever runs afterwards may find other data than before."""
        self._digests = {
            name: hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest() for name, source in scripts.items()
        }

    def run(self, runs: Sequence[Run]) -> list[Any]:
        """The answers to all, in order. Blocks for one round trip, or for two where the server lacks the scripts.

        Raises:
          redis.exceptions.RedisError: it is out of reach, or its reply did not come in time.
        """
        answers = self._exchange(runs)
        missing = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if missing:
            # A new server, a failover or SCRIPT FLUSH. A command that was refused for it has not run, so it may be sent
            # again here.
            self._loaded = False
            for number, answer in zip(missing, self._exchange([runs[number] for number in missing]), strict=True):
                answers[number] = answer
        return answers

    def let_go(self) -> None:
        """Close the connection: the next round trip makes a new one, which may find another server."""
        self._loaded = False
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection)
        # Those in use on other threads are theirs to close.
        with suppress(RedisError, OSError):
            self._pool.disconnect(inuse_connections=False)

    def _exchange(self, runs: Sequence[Run]) -> list[Any]:
        connection = self._connected()
        # All scripts at once: if only one were missing, its commands would run after others that were sent later.
        loads = 0 if self._loaded else self._scripts
        packed = [] if self._loaded else [self._loads]
        digests = self._digests
        for script, keys, arguments in runs:
            packed.append(_packed("EVALSHA", digests[script], len(keys), *keys, *arguments))
        try:
            connection.send_packed_command([b"".join(packed)], check_health=False)
            for _ in range(loads):
                _answer(connection)
            answers = [_answer(connection) for _ in runs]
        except BaseException:
            # The replies that were not read must not be taken for those of the next commands.
            self.let_go()
            raise
        # Also where some answers are errors: `run` looks for NOSCRIPT among them.
        if not self._loaded:
            self._loaded = True
            self.generation += 1
        return answers

    def _connected(self) -> Any:
        if self._connection is not None and _is_spoilt(self._connection):
            self.let_go()
        if self._connection is None:
            self._connection = self._pool.get_connection()
        return self._connection


def _is_spoilt(connection: Any) -> bool:
    # Closed by the server since, as by a restart, or with a reply to nothing: found before anything is sent over it.
    try:
        return bool(connection.can_read())
    except (RedisError, OSError):
        return True


def _packed(*words: str | bytes | int) -> bytes:
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its types ask for a tuple of one
    return packed


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error
