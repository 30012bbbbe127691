"""Collects tests once and runs some of them in a fork for each request.

    python -m scripts.programs.mutation.runner BASETEMP ARGUMENT…

A request is a line of JSON with the ``path`` of a changed file, the ``tests`` in their order, and those of them to be
``left_out``. The answer is one too:
the first test that fails, null where all pass, or ``ANEW`` where the change can't be taken into what was imported.
"""

import gc
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import IO, Any

import psutil
import pytest

ONE_TEST = 60
"""Seconds after which a test counts as failed: what waits for a condition gives up before."""

ALL_TESTS = 400
"""Seconds after which a mutant counts as noticed: it hangs in a way that ends no test."""

ANEW = "anew"


def options(basetemp: Path) -> list[str]:
    """How pytest is called here."""
    return [
        *("-x", "-q", "-p", "no:cacheprovider", "--tb=short", f"--timeout={ONE_TEST}", f"--basetemp={basetemp}"),
        *("-p", "scripts.programs.mutation.profile", "--hypothesis-profile=mutants"),
    ]


class Server:
    """A plugin of pytest that serves requests in place of running what was collected."""

    def __init__(self, requests: IO[str], answers: IO[str]) -> None:
        self._requests = requests
        self._answers = answers
        self._failed: str | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Until there are no more."""
        originals = {path: path.read_text() for path in Path.cwd().glob("worker/**/*.py")}
        for line in self._requests:
            request = json.loads(line)
            path = Path.cwd() / request["path"]
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                failed: str | None = "pytest itself"
                try:
                    fits = path.suffix == ".lua" or exchange(path, originals[path], path.read_text())
                    failed = self._run(session, request) if fits else ANEW
                finally:
                    os.write(writing, json.dumps(failed).encode())
                    os._exit(0)
            os.close(writing)
            in_time = _await(pid)
            with os.fdopen(reading) as pipe:
                print(
                    pipe.read() or json.dumps("the process died" if in_time else "hung"), file=self._answers, flush=True
                )
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember the first failure."""
        if report.failed and self._failed is None:
            self._failed = report.nodeid

    def _run(self, session: pytest.Session, request: dict[str, Any]) -> str | None:
        known = [item for item in session.items if item.nodeid not in request["left_out"]]
        if request["path"].endswith(".py"):
            # Tests of both stores: that of Redis has its Lua to itself.
            known = [item for item in known if "[redis" not in item.nodeid]
        items = list(in_order(known, request["tests"]))
        if not items:
            raise RuntimeError(f"no such test: {request['tests']}")
        for number, item in enumerate(items, start=1):
            following = items[number] if number < len(items) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed is not None:
                break
        return self._failed


def in_order(items: list[pytest.Item], tests: list[str]) -> Iterator[pytest.Item]:
    """The tests of each of these files and folders, or those of these names, once."""
    left = dict.fromkeys(items)
    for test in tests:
        for item in [item for item in left if item.nodeid == test or item.nodeid.startswith((f"{test}::", f"{test}/"))]:
            del left[item]
            yield item


def exchange(path: Path, original: str, mutated: str) -> bool:
    """Give the functions that were imported from ``path`` their code of the mutated text.

    False where more than the code of functions differs, or a function can't be found.
    """
    if original == mutated:
        return True
    try:
        before, after = (compile(text, str(path), "exec") for text in (original, mutated))
    except SyntaxError:
        return False
    differing = _differing(before, after)
    if differing is None:
        return False
    functions = [each for each in gc.get_objects() if isinstance(each, FunctionType)]
    for old, new in differing:
        found = [each for each in functions if each.__code__ == old and each.__code__.co_filename == str(path)]
        if not found or any(len(each.__closure__ or ()) != len(new.co_freevars) for each in found):
            return False
        for each in found:
            each.__code__ = new
    return True


def _differing(before: CodeType, after: CodeType) -> list[tuple[CodeType, CodeType]] | None:
    """Pairs of functions' codes that differ, the outermost ones; None where a module's or a class's own does."""
    pairs: list[tuple[CodeType, CodeType]] = []
    if before == after:
        return pairs
    if before.co_flags & 0x2:  # CO_NEWLOCALS: a function
        return [(before, after)]
    inner_before, inner_after = (
        [constant for constant in code.co_consts if isinstance(constant, CodeType)] for code in (before, after)
    )
    outer_before, outer_after = (
        [constant for constant in code.co_consts if not isinstance(constant, CodeType)] for code in (before, after)
    )
    same = before.co_code == after.co_code and before.co_names == after.co_names
    if not same or repr(outer_before) != repr(outer_after) or len(inner_before) != len(inner_after):
        return None
    for one, other in zip(inner_before, inner_after, strict=True):
        found = _differing(one, other)
        if found is None:
            return None
        pairs += found
    return pairs


def _await(pid: int) -> bool:
    """Whether the fork ends in time; else it is killed with what it has started."""
    deadline = time.monotonic() + ALL_TESTS
    while time.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.02)
    for process in [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]:
        process.send_signal(signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def main() -> int:
    """Serve until stdin ends."""
    # What tests print must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    basetemp, *arguments = sys.argv[1:]
    return int(pytest.main([*options(Path(basetemp)), *arguments], plugins=[Server(requests, answers)]))


if __name__ == "__main__":
    sys.exit(main())
