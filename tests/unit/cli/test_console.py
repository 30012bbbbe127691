"""Lines for a person: beside a line of progress, and in a summary."""

import os
import pty
import re
import subprocess
import sys

import pytest

from worker.cli import console

LOGGING = """
import structlog
from worker.telemetry import logs
from worker.cli import console
from worker.cli.meter import Meter
logs.configure("WARNING", "console")
log = structlog.get_logger("ours")
with Meter(100) as meter:
    meter.show(15, 1.0, {"sent": 15})
    log.warning("call_failed")
    meter.show(16, 1.0, {"sent": 16})
    console.say("told")
log.warning("after_all")
"""


def test_records_begin_on_a_line_of_their_own() -> None:
    """On a terminal what is logged stands above the line of progress, never behind it; afterwards too."""
    master, slave = pty.openpty()
    env = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen([sys.executable, "-c", LOGGING], stdin=slave, stdout=slave, stderr=slave, env=env):
        os.close(slave)
        shown = b""
        while part := _read(master):
            shown += part
    os.close(master)
    text = shown.decode()
    assert "/100" in text
    for event in (r"20\d\d-[^\r\n\x1b]*call_failed", "referrals: told", r"20\d\d-[^\r\n\x1b]*after_all"):
        assert re.search(rf"(?:\n|\x1b\[2K){event}", text), text


def test_a_long_name_does_not_move_the_others_values(capsys: pytest.CaptureFixture[str]) -> None:
    """Its own value comes right after it; those of the others stand as if it weren't there."""
    console.summary([("sent", "1"), ("took", "2 s"), (f"  {'long_code' * 6}", "3")], {}, as_json=False)
    assert capsys.readouterr().out == f"sent  1\ntook  2 s\n  {'long_code' * 6}  3\n"


def _read(master: int) -> bytes:
    # Linux reports the end of a terminal as an error.
    try:
        return os.read(master, 4096)
    except OSError:
        return b""
