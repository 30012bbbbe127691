"""Commands run in forks end as they do in processes of their own; tests/unit/cli/test_main.py starts each of them."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.services import wait_until
from tests.system.commands import Desk
from tests.system.warm import WarmCommands


def test_a_fork_ends_as_the_program_does(desk: Desk, tmp_path: Path) -> None:
    """The same exit code and output, of the folder and the environment that are given."""
    arguments, env = ["shops", "list"], desk.env | {"REFERRALS_SHOPS": "none.toml"}
    alone = subprocess.run(
        [sys.executable, "-m", "worker", *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    with closing(WarmCommands()) as warm:
        forked = warm.run(arguments, tmp_path, env, 30)
    assert (forked.returncode, forked.stdout, forked.stderr) == (alone.returncode, alone.stdout, alone.stderr)
    assert forked.returncode == 2
    assert "none.toml" in forked.stderr


def test_a_fork_that_takes_too_long_is_killed(desk: Desk, tmp_path: Path) -> None:
    """Its output is returned, and the next command has its own."""
    with closing(WarmCommands()) as warm:
        with pytest.raises(subprocess.TimeoutExpired):
            warm.run(["collect", "--out", "results.csv"], tmp_path, desk.env, 2)
        assert warm.run(["collect", "--help"], tmp_path, desk.env, 30).returncode == 0


def test_a_command_in_the_background(desk: Desk) -> None:
    """It runs beside others, takes signals and a kill, and its status is known once it has ended."""
    with closing(WarmCommands()) as warm:
        first, second = (warm.start(["sandbox", "--port", "0"], desk.folder, desk.env, name) for name in ("a", "b"))
        assert warm.run(["shops", "list", "--help"], desk.folder, desk.env, 30).returncode == 0
        for name in ("a", "b"):
            wait_until(lambda name=name: "http://" in (desk.folder / f"{name}.out").read_text(), 30, "its address")  # type: ignore[misc] # bound as it is now
        assert (first.poll(), second.poll()) == (None, None)
        os.killpg(first.pid, signal.SIGTERM)
        assert first.wait(20) == 0
        assert second.poll() is None
        second.kill()
        assert second.wait(20) == -signal.SIGKILL
        second.kill()
