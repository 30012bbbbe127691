"""What a server's answers mean, each as Redis or Valkey words it."""

import pytest
import redis
from redis._parsers.base import BaseParser
from redis.exceptions import InvalidResponse

from worker.errors import StoreError
from worker.store.redis.refusals import LONGEST_QUOTE, refusal

SECRET = "s3cret-of-the-store"

MISCONF = (
    "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that "
    "may modify the data set are disabled, because this instance is configured to report errors during writes if RDB "
    "snapshotting fails (stop-writes-on-bgsave-error option). Please check the Valkey logs for details about the RDB "
    "error. script: on @user_script:19."
)
REDIS_6 = "ERR Error running script (call to f_24f9): @user_script:30: @user_script: 30: -"

NOT_HERE_NOT_NOW = {
    "READONLY You can't write against a read only replica. script: on @user_script:19.": "read_only",
    f"{REDIS_6}READONLY You can't write against a read only replica. ": "read_only",
    "LOADING Valkey is loading the dataset in memory": "loading",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": "primary_away",
    MISCONF: "not_saving",
    f"{REDIS_6}MISCONF Redis is configured to save RDB snapshots": "not_saving",
    "MISCONF Errors writing to the AOF file: No space left on device": "not_saving",
    "NOREPLICAS Not enough good replicas to write.": "no_replicas",
    "CLUSTERDOWN Hash slot not served": "cluster",
    "MOVED 3999 127.0.0.1:6381": "cluster",
    "ASK 3999 127.0.0.1:6381": "cluster",
    "TRYAGAIN Multiple keys request during rehashing of slot": "cluster",
    "ERR max number of clients reached": "full",
}
OTHERS = {
    "OOM command not allowed when used memory > 'maxmemory'. script: on @user_script:1.": "no_memory",
    "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": "busy",
    "NOPERM User worker has no permissions to run the 'set' command": "permissions",
    "ERR ACL failure in script: User worker has no permissions to run the 'hincrby' command": "permissions",
    f"{REDIS_6[:-1]}The user executing the script can't run this command or subcommand": "permissions",
    "NOSCRIPT No matching script. Please use EVAL.": "permissions",
    "WRONGPASS invalid username-password pair or user is disabled.": "credentials",
    "NOAUTH Authentication required.": "credentials",
    "ERR DB index is out of range": "database",
    "ERR unknown command 'EVALSHA', with args beginning with: 'digest' '1' ": "unknown_command",
    "WRONGTYPE Operation against a key holding the wrong kind of value": "refused",
}


def error_of(answer: str) -> Exception:
    """What the client makes of it."""
    made: Exception = BaseParser.parse_error(answer)  # type: ignore[no-untyped-call] # no types there
    return made


@pytest.mark.parametrize(("answer", "reason"), NOT_HERE_NOT_NOW.items())
def test_not_here_not_now(answer: str, reason: str) -> None:
    """Another server may be behind the name by now, so the connection is closed."""
    why = refusal(error_of(answer))
    assert (why.reason, why.moves) == (reason, True)


@pytest.mark.parametrize(("answer", "reason"), OTHERS.items())
def test_here_and_unwilling(answer: str, reason: str) -> None:
    """Connecting anew would change nothing: the connection stays."""
    why = refusal(error_of(answer))
    assert (why.reason, why.moves) == (reason, False)


def test_the_servers_own_words_are_told() -> None:
    """The reason that the server gives is quoted, bounded, without the script's place."""
    why = refusal(error_of("MISCONF Errors writing to the AOF file: No space left. script: on @user_script:1."))
    assert why.text.endswith("(it says: MISCONF Errors writing to the AOF file: No space left)")
    quoted = refusal(error_of(MISCONF)).text.partition("it says: ")[2]
    assert quoted.startswith("MISCONF Valkey is configured to save RDB snapshots")
    assert len(quoted) <= LONGEST_QUOTE + len("…)")


@pytest.mark.parametrize(
    "answer",
    [
        f"ERR unknown command 'AUTH', with args beginning with: 'worker' '{SECRET}' ",
        f"ERR unknown command `AUTH`, with args beginning with: `worker`, `{SECRET}`, ",
        f"ERR Error running script (call to f_24f9): @user_script:30: {SECRET}",
        f"ERR something that a proxy says of {SECRET}",
        f"WRONGTYPE {SECRET}",
        f"WRONGPASS {SECRET}",
        f"NOAUTH {SECRET}",
    ],
)
def test_no_argument_is_quoted(answer: str) -> None:
    """What a command was called with is in no error: a password, a result."""
    assert SECRET not in refusal(error_of(answer)).text


def test_what_the_server_says_can_not_steer_a_terminal() -> None:
    """A server may send anything; as an error it is one visible line."""
    why = refusal(error_of("MISCONF \x1b[2J\u202eno space\r\nleft"))
    assert str(StoreError(f"the store {why.text}")).isprintable()


def test_nobody_answers_as_redis_does() -> None:
    """A time-out, another protocol, no connection: each has its own word."""
    gone = redis.ConnectionError("Error 111 connecting")
    gone.__context__ = ConnectionRefusedError(111, "Connection refused")
    assert [refusal(each).reason for each in (redis.TimeoutError("Timeout"), InvalidResponse("A"), gone)] == [
        "silent",
        "no_redis",
        "unreachable",
    ]
    assert "(Connection refused)" in refusal(gone).text
