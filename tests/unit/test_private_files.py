"""Files with customers' addresses are ours alone, whatever somebody planted where they go."""

import errno
import gc
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.interruption import Interruption
from worker.campaigns.rejects_file import RejectsFile
from worker.embedded.journal import Journal
from worker.errors import UsageError
from worker.merging.files import MergedFiles, end_draft
from worker.merging.uploads.parts import UploadParts
from worker.merging.uploads.selection import Upload
from worker.merging.uploads.table import TOOLS
from worker.private_files import (
    draft_name,
    is_own_file,
    new_draft,
    opened_folder,
    private_folder,
    private_opener,
)
from worker.reporting.file import write_page
from worker.results.file import ResultsFile
from worker.sandbox.calls import CallLog

PRECIOUS = "the only copy\n"


def journal(path: Path) -> None:
    """A run's journal."""
    Journal(path, "spring").close()


def gone_on_with(path: Path) -> None:
    """A results file that is continued."""
    file = ResultsFile(path)
    list(file.resume())
    file.close()


def rebuilt(path: Path) -> None:
    """A results file that is derived from a journal."""
    file = ResultsFile(path)
    file.rebuild([])
    file.close()


def rejects(path: Path) -> None:
    """Rows left out."""
    file = RejectsFile(path, [["name"]])
    file.add(0, 2, 2, "no_channel", ["Ann"], apart=True)
    file.close()


def sandbox_log(path: Path) -> None:
    """The sandbox's record of calls."""
    log = CallLog(1)
    log.open(path)
    log.close()


WRITERS = (journal, gone_on_with, rebuilt, rejects, sandbox_log)
every_writer = pytest.mark.parametrize("write", WRITERS, ids=[write.__name__ for write in WRITERS])


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file that must be as it is afterwards."""
    path = tmp_path / "precious"
    path.write_text(PRECIOUS)
    path.chmod(0o600)
    return path


@every_writer
@pytest.mark.parametrize("target", ["precious", "missing"])
def test_links_are_not_followed(tmp_path: Path, precious: Path, write: Callable[[Path], None], target: str) -> None:
    """What a link points to is neither written, nor cut off, nor made."""
    link = tmp_path / "out"
    link.symlink_to(tmp_path / target)

    with pytest.raises(UsageError, match=r"is a symbolic link; .*choose another file"):
        write(link)

    assert precious.read_text() == PRECIOUS
    assert not (tmp_path / "missing").exists()


@every_writer
def test_second_names_are_refused(tmp_path: Path, precious: Path, write: Callable[[Path], None]) -> None:
    """A hard link to another file of ours would be written to as that file."""
    os.link(precious, tmp_path / "out")

    with pytest.raises(UsageError, match="has a second name"):
        write(tmp_path / "out")

    assert precious.read_text() == PRECIOUS


def pipe(path: Path) -> None:
    """A named pipe without a reader."""
    os.mkfifo(path)


def bound(path: Path) -> None:
    """A socket."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def device(path: Path) -> None:
    """The null device under another name, which root alone can make and replace."""
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")


@every_writer
@pytest.mark.parametrize("plant", [pipe, bound, pytest.param(device, marks=as_root)])
def test_only_regular_files(tmp_path: Path, write: Callable[[Path], None], plant: Callable[[Path], None]) -> None:
    """A pipe, a socket or a device is refused at once, not waited for, and stays where it is."""
    plant(tmp_path / "out")

    with pytest.raises(UsageError, match="is not a regular file"):
        write(tmp_path / "out")

    assert [path.is_file() for path in tmp_path.iterdir()] == [False]


@pytest.mark.parametrize(
    "opened",
    ["Journal(path, 'spring')", "list(ResultsFile(path).resume())", "list(ResultsFile(path, 'jsonl').resume())"],
)
def test_where_there_are_no_locks(tmp_path: Path, opened: str) -> None:
    """A file that two commands could write to at once is not begun; the line says why, and what to do."""
    program = f"""
import sys
from pathlib import Path
from worker.embedded.journal import Journal
from worker.results.file import ResultsFile
from worker.errors import InputError
path = Path(sys.argv[1])
try:
    {opened}
except InputError as error:
    print(error)
"""
    command = [sys.executable, "-m", "tests.services.lockless", sys.executable, "-c", program, str(tmp_path / "out")]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout == (
        f"{tmp_path}/out: can't be locked (No locks available), as happens on some network shares; choose an --out on "
        "a local disk\n"
    )


def test_devices_are_no_files() -> None:
    """Least of all are they replaced, which root could do."""
    with pytest.raises(UsageError, match="/dev/null: is not a regular file"):
        is_own_file(Path("/dev/null"))
    with pytest.raises(UsageError, match="/dev/null: is not a regular file"):
        private_opener("/dev/null", os.O_WRONLY)


@every_writer
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away; the next test does without")
def test_another_users_files(tmp_path: Path, precious: Path, write: Callable[[Path], None]) -> None:
    """Its owner could go on reading what is written to it."""
    os.chown(precious, 12_345, 12_345)

    with pytest.raises(UsageError, match="belongs to another user"):
        write(precious)


@pytest.mark.parametrize(
    ("use", "path"), [("private_opener(path, os.O_RDONLY)", "/etc/passwd"), ("private_folder(Path(path))", "/usr")]
)
def test_the_systems_files(use: str, path: str) -> None:
    """As any user but root: what is the system's is refused, a folder that we would take for ours too."""
    program = f"""
import os
from pathlib import Path
from worker.private_files import private_opener, private_folder
path = {path!r}
os.geteuid() or os.setuid(12345)
{use}
"""
    theirs = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "belongs to another user" in theirs.stderr


@every_writer
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_new_files_are_private(tmp_path: Path, write: Callable[[Path], None], umask: int) -> None:
    """Whatever the umask lets through."""
    before = os.umask(umask)
    try:
        write(tmp_path / "out")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@every_writer
def test_wider_files_are_tightened(tmp_path: Path, write: Callable[[Path], None]) -> None:
    """One of ours that others may read is closed to them before a row is in it."""
    out = tmp_path / "out"
    out.touch()
    out.chmod(0o664)

    write(out)

    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_only_the_right_to_read_it_is_taken_from_others(precious: Path) -> None:
    """Its owner's rights stay as they are, and so does what is in it."""
    precious.chmod(0o744)
    os.close(private_opener(str(precious), os.O_RDONLY))
    assert (precious.stat().st_mode & 0o777, precious.read_text()) == (0o700, PRECIOUS)


def test_what_is_refused_is_not_cut_off(tmp_path: Path, precious: Path) -> None:
    """A file is looked at before O_TRUNC takes what is in it."""
    os.link(precious, tmp_path / "second")
    with pytest.raises(UsageError, match="second name"), open(precious, "w", opener=private_opener):
        pass
    assert precious.read_text() == PRECIOUS
    (tmp_path / "second").unlink()
    with open(precious, "w", opener=private_opener):
        pass
    assert precious.read_text() == ""


def test_a_name_that_changes_hands(tmp_path: Path, precious: Path) -> None:
    """Whenever the name comes to mean something else, the file that is meant is never the other one."""
    out, link, ours = tmp_path / "out", tmp_path / "link", tmp_path / "ours"
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            link.symlink_to(precious)
            link.replace(out)
            ours.touch(mode=0o600)
            ours.replace(out)

    swapping = threading.Thread(target=swap)
    swapping.start()
    taken = refused = 0
    try:
        while taken < 200 or refused < 200:
            try:
                with open(out, "w", opener=private_opener) as file:
                    file.write("a customer")
                taken += 1
            except (UsageError, FileNotFoundError):
                refused += 1
    finally:
        stop.set()
        swapping.join()
    assert precious.read_text() == PRECIOUS


def test_a_folder_that_changes_hands(tmp_path: Path) -> None:
    """A draft and what it replaces are in the folder that was meant when it began, whatever its name means then."""
    meant, planted = tmp_path / "meant", tmp_path / "planted"
    meant.mkdir()
    planted.mkdir()
    with opened_folder(meant / "x") as folder:
        meant.rename(tmp_path / "moved")
        meant.symlink_to(planted)
        os.close(private_opener(str(meant / "x"), os.O_WRONLY | os.O_CREAT, folder))
    assert [path.name for path in planted.iterdir()] == []
    assert [path.name for path in (tmp_path / "moved").iterdir()] == ["x"]


def test_folders(tmp_path: Path) -> None:
    """One whose name anybody can guess is made ours alone; a link and a file in its place are refused."""
    folder = tmp_path / "folder"
    folder.mkdir(0o755)
    private_folder(folder)
    private_folder(tmp_path / "new")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o700}
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(OSError, match=name) as told:
            private_folder(tmp_path / name)
        assert told.value.errno in (errno.ENOTDIR, errno.ELOOP, errno.EEXIST)


def merged(path: Path) -> None:
    """A merged export."""
    with MergedFiles([path]) as files:
        with files.draft(path) as file:
            file.write(b"merged")
            end_draft(file)
        files.finish()


def uploaded(path: Path) -> None:
    """A file for a tool's importer."""
    with UploadParts(TOOLS["klaviyo"], "link", path) as parts:
        parts.add(Upload(0, "a@example.org", "https://x.test"))
        parts.finish()


def reported(path: Path) -> None:
    """A campaign's page."""
    write_page(path, "page")


@pytest.mark.parametrize("write", [rebuilt, merged, uploaded, reported])
def test_no_file_of_the_users_is_taken_for_a_draft(tmp_path: Path, write: Callable[[Path], None]) -> None:
    """What is beside the file stays, whatever its name, and no draft is left."""
    others = {tmp_path / f"x.csv{more}": PRECIOUS for more in (".part", ".1.part", ".draft")}
    for path, text in others.items():
        path.write_text(text)
    write(tmp_path / "x.csv")
    assert {path: path.read_text() for path in others} == others
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "x.csv"])


@pytest.mark.parametrize("write", [rebuilt, merged, uploaded, reported])
def test_a_name_that_is_no_text(tmp_path: Path, write: Callable[[Path], None]) -> None:
    """A file's name may be in another encoding than UTF-8."""
    path = tmp_path / os.fsdecode(b"\xe9t\xe9.csv")
    write(path)
    assert list(tmp_path.iterdir()) == [path]


def test_two_drafts_of_one_file_are_two(tmp_path: Path) -> None:
    """Two commands that write the same file at once don't write into each other's draft; the last one is whole."""
    path = tmp_path / "x.csv"
    with MergedFiles([path]) as first, MergedFiles([path]) as second:
        for files, text in ((first, b"first"), (second, b"second")):
            with files.draft(path) as file:
                file.write(text)
                end_draft(file)
        second.finish()
        first.finish()
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_an_upload_never_replaces_a_file_that_came_meanwhile(tmp_path: Path) -> None:
    """Nor does it leave some of its own parts beside it."""
    tool = replace(TOOLS["klaviyo"], most_bytes=70)
    late = tmp_path / "x-2.csv"
    with UploadParts(tool, "link", tmp_path / "x.csv") as parts:
        for number in range(6):
            parts.add(Upload(0, f"a{number}@example.org", "https://x.test"))
        late.write_text(PRECIOUS)
        with pytest.raises(UsageError, match=r"x-2\.csv: is there already"):
            parts.finish()
    assert list(tmp_path.iterdir()) == [late]


def test_a_draft_of_the_longest_name(tmp_path: Path) -> None:
    """A name that a file system takes is not too long for its draft; the draft is for its owner alone."""
    path = tmp_path / ("é" * 127)
    with opened_folder(path) as folder:
        name = draft_name(path)
        with new_draft(name, folder):
            os.replace(name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# An interrupted command ends, and its files are closed with it. Some are in cycles, which are collected at its end:
# since Python 3.12 their warnings came amid other tests.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("write", [rebuilt, merged, uploaded, reported])
def test_no_signal_leaves_a_draft(tmp_path: Path, write: Callable[[Path], None]) -> None:
    """A draft holds addresses. The moments after it is made, and before anybody notes down its name, count as well."""
    out = tmp_path / "out.csv"
    write(out)
    number, came = 0, True
    while came:
        number += 1
        interruption = Interruption(number)
        out.unlink(missing_ok=True)
        with interruption.expected():
            write(out)
        came = interruption.came
        assert not list(tmp_path.glob("*.part")), number
    assert number > 20
    gc.collect()
