"""What a process keeps, and its children don't."""

import ctypes
import os
from collections.abc import Callable

import pytest

from worker.process.kept import KeptByProcess


def test_what_is_kept_is_ended_once() -> None:
    """By whoever closes it; what is kept afterwards is kept as before."""
    ended: list[str] = []
    kept = KeptByProcess(ended.append)
    kept.own.entries["a"] = "first"
    kept.close()
    kept.close()
    assert ended == ["first"]
    kept.own.entries["a"] = "second"
    kept.close()
    assert ended == ["first", "second"]


# PyDLL holds the interpreter's lock, so no other thread of the child may wait for one that is gone.
@pytest.mark.parametrize("fork", [os.fork, ctypes.PyDLL(None).fork], ids=["by Python", "unnoticed by Python"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_begins_with_nothing(fork: Callable[[], int]) -> None:
    """Even where its parent was in the midst of a change, and it leaves alone what its parent keeps."""
    ended: list[str] = []
    kept = KeptByProcess(ended.append)
    kept.own.entries["a"] = "the parent's"
    with kept.own.lock:
        child = fork()
        if not child:
            empty = not kept.own.entries and kept.own.lock.acquire(blocking=False)
            kept.own.lock.release()
            kept.close()
            os._exit(0 if empty and not ended else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert kept.own.entries == {"a": "the parent's"}
    kept.close()
    assert ended == ["the parent's"]
