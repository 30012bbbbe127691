"""What a process was reading when it ended, whatever ended it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.rabbitmq.crash_marks import DEATHS, FORGET_AFTER_SECONDS, CrashMark

POISON, HARMLESS = b"poison", b"harmless"

READER = """
import os, signal, sys
from pathlib import Path
from worker.rabbitmq.crash_marks import CrashMark
mark = CrashMark(Path(sys.argv[1]))
with mark.on(b"harmless"):
    pass
with mark.on(sys.argv[2].encode()):
    {end}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where marks are; the first process makes it."""
    return tmp_path / "marks"


@pytest.fixture
def start(folder: Path) -> Callable[[], CrashMark]:
    """Starts a reader in this process."""
    return lambda: CrashMark(folder)


def die(folder: Path, *, reading: bytes = POISON, end: str = "os.kill(os.getpid(), signal.SIGKILL)") -> None:
    """A process reads, and ends over it."""
    ended = subprocess.run([sys.executable, "-c", READER.format(end=end), folder, reading], check=False)
    assert ended.returncode != 0


@pytest.mark.parametrize(
    "end", ["os.kill(os.getpid(), signal.SIGKILL)", "os._exit(1)", "os.kill(os.getpid(), signal.SIGSEGV)"]
)
def test_a_death_is_counted(folder: Path, start: Callable[[], CrashMark], end: str) -> None:
    """However a process ends, the next one knows over what, and only that."""
    die(folder, end=end)
    mark = start()
    assert (mark.found, mark.deaths(POISON), mark.deaths(HARMLESS)) == (1, 1, 0)
    mark.close()
    assert start().found == 0


def test_deaths_add_up(folder: Path, start: Callable[[], CrashMark]) -> None:
    """Each death counts once, whatever other processes start in between or live beside it."""
    sibling = start()
    for number in range(DEATHS):
        die(folder)
        die(folder, reading=b"another")
        mark = start()
        # The other one was found by the process in between.
        assert (mark.found, mark.deaths(POISON), mark.deaths(b"another")) == (1, number + 1, number + 1)
        mark.close()
        late = start()
        assert (late.found, late.deaths(POISON)) == (0, number + 1)
        late.close()
    assert (sibling.found, sibling.deaths(POISON)) == (0, 0)
    sibling.close()


def test_what_is_read_after_all_is_no_poison(folder: Path, start: Callable[[], CrashMark]) -> None:
    """A message that is read whole has its deaths forgotten, also where reading it raises; others keep theirs."""
    die(folder)
    die(folder, reading=b"another")
    mark = start()
    with pytest.raises(ValueError, match="not a job"), mark.on(POISON):
        raise ValueError("not a job")
    assert mark.deaths(POISON) == 0
    mark.close()
    again = start()
    assert (again.deaths(POISON), again.deaths(b"another")) == (0, 1)


def test_an_orderly_end_leaves_nothing(folder: Path, start: Callable[[], CrashMark]) -> None:
    """Neither a process that closes its mark nor one that ends between two messages is counted."""
    mark = start()
    with mark.on(HARMLESS):
        pass
    mark.close()
    assert list(folder.iterdir()) == []
    die(folder, end="pass\nos.kill(os.getpid(), signal.SIGKILL)")
    assert start().found == 0


def test_old_deaths_are_forgotten(folder: Path, start: Callable[[], CrashMark]) -> None:
    """A week later nobody remembers."""
    die(folder)
    start().close()
    (noted,) = folder.glob("*.deaths")
    before = time.time() - FORGET_AFTER_SECONDS - 60
    os.utime(noted, (before, before))
    assert start().deaths(POISON) == 0
    assert not noted.exists()


def test_foreign_files(folder: Path, start: Callable[[], CrashMark], tmp_path: Path) -> None:
    """Whatever else lies there neither counts nor harms, and no link is followed; others may not look inside."""
    folder.mkdir(mode=0o755)
    (tmp_path / "precious").write_bytes(b"x" * 32)
    (folder / "1.reading").symlink_to(tmp_path / "precious")
    (folder / "2.reading").write_bytes(b"short")
    (folder / "3.reading").mkdir()
    (folder / "no-digest.deaths").write_bytes(b"+++")
    mark = start()
    assert (mark.found, mark.deaths(POISON)) == (0, 0)
    assert (tmp_path / "precious").read_bytes() == b"x" * 32
    assert folder.stat().st_mode & 0o077 == 0


def test_a_planted_folder(tmp_path: Path) -> None:
    """A link in the folder's place is not followed."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "marks").symlink_to("elsewhere")
    with pytest.raises(OSError, match="marks"):
        CrashMark(tmp_path / "marks")


def test_a_mark_has_its_place_on_the_disk(folder: Path, start: Callable[[], CrashMark]) -> None:
    """A disk that fills up later takes no block from it, which would end the process as it writes there."""
    mark = start()
    (found,) = folder.glob("*.reading")
    assert found.stat().st_blocks > 0
    mark.close()


FULL = """
import resource, sys
from pathlib import Path
from worker.rabbitmq.crash_marks import CrashMark
resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))
try:
    CrashMark(Path(sys.argv[1]))
except OSError:
    sys.exit(0)
sys.exit(1)
"""


def test_no_place_is_an_error_that_leaves_nothing(folder: Path) -> None:
    """If no mark can be written, the caller gets the error, and no draft stays."""
    subprocess.run([sys.executable, "-c", FULL, folder], check=True)
    assert list(folder.iterdir()) == []
