"""Runs tests on mutants in a copy of the tree, on a store of its own.

A process collects the tests once; each mutant is a fork of it, which takes the change in and runs the tests that should
notice, the most likely first. Lua is read from its file whenever a store is made. Of Python a function's code is
exchanged; where that can't be, as with what a module does when it is imported, the tests are collected anew.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import redis

from scripts.programs.mutation.choice import COLLECTED, STORE, chosen
from scripts.programs.mutation.mutant import Mutant
from scripts.programs.mutation.runner import ALL_TESTS, ANEW, options
from tests.services import Valkey

_RUNNER = "scripts.programs.mutation.runner"


@dataclass
class Verdict:
    """What became of a mutant: the test that noticed it, or the tests that did not."""

    mutant: Mutant
    noticed_by: str | None
    tests: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Lane:
    """A copy of the tree below ``folder``, a Valkey beside it, and the RabbitMQ that all lanes share."""

    def __init__(self, root: Path, folder: Path, rabbitmq: Path) -> None:
        self._folder = folder
        self._tree = folder / "tree"
        services = folder / "services"
        services.mkdir(parents=True)
        (services / "rabbitmq").symlink_to(rabbitmq)
        self._valkey = Valkey(services / "valkey")
        self._env = os.environ | {"PYTHONPATH": str(self._tree), "REFERRALS_TEST_SERVICES": str(services)}
        self._runners: dict[str, subprocess.Popen[str]] = {}
        self._sound: set[str] = set()
        self._left_out: set[str] = set()
        copy_tree(root, self._tree)
        self._stamp = int(time.time())

    def open(self) -> None:
        """Start the lane's store."""
        self._valkey.create()

    def close(self) -> None:
        """Stop the lane's store and its tests."""
        for runner in self._runners.values():
            runner.communicate()
        self._valkey.load().stop()

    def judge(self, mutant: Mutant) -> Verdict:
        """Run the tests that should notice the mutant, until one does. One that fails without it too has no say."""
        began = time.monotonic()
        tests = chosen(mutant.path, self._tree)
        while True:
            try:
                self._write(mutant.path, mutant.mutated)
                noticed_by = self._run(mutant.path, tests)
            finally:
                self._write(mutant.path, mutant.original)
            self._revive()
            if noticed_by is None or "::" not in noticed_by or self._is_sound(mutant.path, noticed_by):
                return Verdict(mutant, noticed_by, tests, time.monotonic() - began)
            print(f"left out, since it fails without a mutation too: {noticed_by}", file=sys.stderr, flush=True)
            self._left_out.add(noticed_by)

    def _is_sound(self, path: str, test: str) -> bool:
        # Twice, since on a busy machine a test may fail for nothing.
        if test not in self._sound and any(self._run(path, [test]) is None for _ in range(2)):
            self._sound.add(test)
        return test in self._sound

    def _revive(self) -> None:
        # A script that never ends keeps its server busy, and nothing but its end helps.
        try:
            with redis.Redis.from_url(self._valkey.url, socket_timeout=5) as client:
                client.flushall()
        except redis.RedisError:
            self._valkey.kill()
            self._valkey.start()

    def _run(self, path: str, tests: Sequence[str]) -> str | None:
        kind = Path(path).suffix
        runner = self._runners.get(kind)
        if runner is None:
            runner = self._runners[kind] = self._start(kind)
        assert runner.stdin is not None
        assert runner.stdout is not None
        runner.stdin.write(json.dumps({"path": path, "tests": tests, "left_out": sorted(self._left_out)}) + "\n")
        runner.stdin.flush()
        answer = runner.stdout.readline()
        if not answer:
            raise RuntimeError(f"the tests can't be run:\n{(self._folder / kind).read_text()[-4000:]}")
        failed: str | None = json.loads(answer)
        return self._run_anew(tests) if failed == ANEW else failed

    def _run_anew(self, tests: Sequence[str]) -> str | None:
        command = [sys.executable, "-m", "pytest", *options(self._folder / "tmp"), "--no-header", "-rfE", *tests]
        command += [f"--deselect={test}" for test in sorted(self._left_out)]
        try:
            done = subprocess.run(
                command, cwd=self._tree, env=self._env, capture_output=True, text=True, check=False, timeout=ALL_TESTS
            )
        except subprocess.TimeoutExpired:
            return "hung"
        if done.returncode == 0:
            return None
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
        return failed[1] if failed else f"pytest, which ended by {done.returncode}"

    def _start(self, kind: str) -> subprocess.Popen[str]:
        collected = [STORE, "-k", "not memory"] if kind == ".lua" else COLLECTED
        with (self._folder / kind).open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", _RUNNER, str(self._folder / "tmp"), *collected],
                cwd=self._tree,
                env=self._env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def _write(self, path: str, text: str) -> None:
        # Python takes compiled code for current if size and second agree, as they may for two mutants.
        self._stamp += 1
        (self._tree / path).write_text(text)
        os.utime(self._tree / path, (self._stamp, self._stamp))


def copy_tree(root: Path, into: Path) -> None:
    """What git knows or would know of the tree, as it is now; and its environment, by a link."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, into / name)
    (into / ".venv").symlink_to(root / ".venv")
