"""What is printed on a standard output that takes nothing: each command ends with one line, and never as a success."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.commands import Desk

COMMANDS = {
    "version": ("--version",),
    "help": ("plan", "--help"),
    "plan": ("plan", "spring.csv", "--campaign", "spring", "--channel", "whatsapp"),
    "plan as JSON": ("plan", "spring.csv", "--campaign", "spring", "--channel", "whatsapp", "--json"),
    "dry run": ("run", "spring.csv", "--campaign", "spring", "--channel", "whatsapp", "--out", "r.csv", "--dry-run"),
    "rehearsal": ("run", "spring.csv", "--campaign", "spring", "--channel", "whatsapp", "--out", "r.csv", "--sandbox"),
    "a table": ("shops", "list"),
    "sandbox": ("sandbox", "--port", "0"),
}
OUTPUTS = {"full": (">/dev/full", "No space left on device"), "closed": (">&-", "it is closed")}


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Desk]:
    """A desk without RabbitMQ and store."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("REFERRALS_", "PROMETHEUS_"))}
    desk = Desk(tmp_path, clean)
    yield desk
    desk.close()


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_can_not_be_printed_is_said(alone: Desk, command: str, output: str) -> None:
    """In one line with the cause and exit code 1, also where Python buffers what it prints."""
    alone.write_shops("http://127.0.0.1:1", ["acme"])
    (alone.folder / "spring.csv").write_text("customer_email,shop\nann@example.com,acme\n")
    redirected, cause = OUTPUTS[output]
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "-m", "worker", *COMMANDS[command]],
        cwd=alone.folder,
        env=alone.env | {"PYTHONUNBUFFERED": ""},
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"referrals: standard output: can't be written ({cause}); send it somewhere else; what the command had done "
        "before is done"
    )
    assert "Traceback" not in done.stderr
    assert "unexpected_error" not in done.stderr
