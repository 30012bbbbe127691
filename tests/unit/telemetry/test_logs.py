"""Whatever a record holds, it is one line of JSON without personal data, and writing it ends nothing.

Logging belongs to a process, so each test has one of its own.
"""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

HEAD = """
import logging, sys, threading, warnings
import structlog
from worker.telemetry import logs
from worker.text.masking import hide
hide("canary-secret-1")
logs.configure("DEBUG", "json")
log = structlog.get_logger("ours")
lib = logging.getLogger("library")
class Unshowable:
    def __repr__(self):
        raise RuntimeError("ann@example.com")
"""


def run(script: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A process that logs."""
    command = [sys.executable, "-c", HEAD + script]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=False, **options)


def records(script: str) -> list[dict[str, Any]]:
    """What it logged; every line must be a record."""
    done = run(script, stderr=subprocess.PIPE)
    assert "ann@" not in done.stderr
    assert "canary-secret" not in done.stderr
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_one_line_of_json_for_any_value() -> None:
    """Line ends of every kind, half characters, what is no JSON, endless structures and objects that fail."""
    (told,) = records(
        """
loop = []; loop.append(loop)
log.info("two\\nlines\\u2028\\x85", half="\\ud83d", nan=float("nan"), huge=10**5000, odd=Unshowable(), loop=loop,
         key={("ann@example.com", 1): {"b@example.com": b"canary-secret-1"}}, long="x" * 10_000_000)
"""
    )
    assert told["event"] == "two\nlines\u2028\x85"
    assert (told["half"], told["nan"], told["huge"], told["odd"]) == ("\ud83d", "nan", "<int>", "<Unshowable>")
    assert told["long"].endswith("… (10000000 characters)")
    assert len(told["long"]) < 5000
    assert "<address:" in json.dumps(told["key"])
    assert {"level", "logger", "timestamp"} <= told.keys()


def test_records_of_libraries_are_masked() -> None:
    """The standard library's loggers, arguments and warnings pass the same way as ours; extra fields are left out."""
    told = records(
        """
lib.debug("sent %r to %s", {"to": "ann@example.com"}, "amqp://me:canary-secret-1@host", extra={"to": "ann@example.com"})
warnings.warn("no ann@example.com")
"""
    )
    assert [one["logger"] for one in told] == ["library", "py.warnings"]
    assert told[0]["event"].endswith("amqp://host")


def test_a_record_that_cannot_be_written_is_named() -> None:
    """Wrong arguments, a failing argument and a record beyond all bounds become a line that shows none of it."""
    told = records(
        """
lib.info("%s and %d", "ann@example.com")
lib.info("%s", Unshowable())
log.info("many", values=[["ann"] * 100] * 50)
log.info("more", values=["x" * 4000] * 100)
"""
    )
    left_out = [one for one in told if one["event"] == "log_record_left_out"]
    assert len(told) == 4
    assert [one["problem"].split()[0] for one in left_out] == ["can't", "can't", "is"]
    assert all(":" in one["where"] for one in left_out)


def test_exceptions_tell_kind_and_place() -> None:
    """Foreign texts are not shown, since they quote what was worked on; the system's and ours are, masked."""
    told = records(
        """
def fail():
    try:
        {}["Ann Lee, +49 151"]
    except KeyError:
        raise OSError(2, "no such file for ann@example.com")
try:
    fail()
except OSError as error:
    log.exception("ours")
    lib.exception("theirs")
    log.warning("as a value", error=error)
thread = threading.Thread(target=lambda: {}["Ann Lee"]); thread.start(); thread.join()
raise ValueError("Ann Lee")
"""
    )
    assert "Ann Lee" not in json.dumps(told)
    for one in told[:2]:
        assert one["exception"].startswith("FileNotFoundError: [Errno 2] no such file for <address:")
        assert "from KeyError (<string>:" in one["exception"]
    assert [one["event"] for one in told[3:]] == ["unexpected_error"] * 2
    assert "KeyError (<string>:" in told[3]["exception"]
    assert "ValueError (<string>:" in told[4]["exception"]


def test_console_lines_carry_no_controls() -> None:
    """Lines for a person's eyes keep to one line, and nothing from outside steers the terminal."""
    done = run(
        'logs.configure("INFO", "console"); log.info("a\\nb", value="\\x1b[31mred", to="ann@example.com")',
        stderr=subprocess.PIPE,
    )
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr
    assert "<address:" in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_ends_nothing(unbuffered: str) -> None:
    """Nobody reads the log any more: work goes on, and the process ends well, whatever Python does with streams."""
    env = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run('for _ in range(10_000): log.error("told to nobody")\nprint("done")', stderr=writer, env=env)
    finally:
        os.close(writer)
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_no_stderr_ends_nothing() -> None:
    """Started without a stderr, as some supervisors do, a process logs nothing and works."""
    done = run(
        'sys.stderr = None; logs.configure("INFO", "json"); log.error("told to nobody"); print("done")',
        stderr=subprocess.PIPE,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
