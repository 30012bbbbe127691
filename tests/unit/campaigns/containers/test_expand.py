"""What the arguments of a command come to."""

import io
import os
import socket
from pathlib import Path

import pytest

from worker.campaigns.containers.expand import expand
from worker.errors import InputError


def _names(folder: Path) -> tuple[list[str], list[str]]:
    """The members that are read and the notes about those that are not, without the folder's name."""
    notes: list[str] = []
    files = expand([folder], notes.append)
    return [str(file.member) for file in files], [note.replace(f"{folder}/", "") for note in notes]


def test_a_file_is_one_export(tmp_path: Path) -> None:
    """A file is read as it stands, as often as it is opened, and has no other name."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"customer_email\n")
    (file,) = expand([path], print)
    assert (file.name, file.path, file.member, file.on_disk) == (str(path), path, None, path)
    for _ in range(2):
        with file.open() as stream:
            assert stream.read() == b"customer_email\n"


def test_a_folder_is_its_files_in_order(tmp_path: Path) -> None:
    """The files of a folder and of its folders come by name; hidden ones, macOS's and Excel's are left out."""
    for name in ("b.csv", "a.jsonl", "sub/c.csv", ".hidden.csv", ".git/d.csv", "__MACOSX/b.csv", "~$b.xlsx"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert _names(tmp_path) == (["a.jsonl", "b.csv", "sub/c.csv"], [])
    assert {file.path for file in expand([tmp_path], print)} == {tmp_path}


def test_what_is_left_out_of_a_folder_is_named(tmp_path: Path) -> None:
    """Links out of the folder, pipes, sockets, other kinds of files and our own files are left out with a note."""
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / "a.csv").touch()
    (tmp_path / "elsewhere.csv").touch()
    (folder / "inside.csv").symlink_to("a.csv")
    (folder / "outside.csv").symlink_to("../elsewhere.csv")
    os.mkfifo(folder / "pipe.csv")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.csv"))
    (folder / "logo.png").touch()
    (folder / "old.csv").write_text("line,reason,Email\n")
    (folder / "results.csv").write_text("line,reference,shop,customer_email,channel\n")
    assert _names(folder) == (
        ["a.csv", "inside.csv"],
        [
            "logo.png: is no kind of export and is left out",
            "old.csv: was written by an earlier command and is left out",
            "outside.csv: is a link that leads out of the folder and is left out",
            "pipe.csv: is not a regular file and is left out",
            "results.csv: was written by an earlier command and is left out",
            "socket.csv: is not a regular file and is left out",
        ],
    )


@pytest.mark.parametrize("name", ["nothing.csv", "b.csv", "c.csv"], ids=["to nothing", "to itself", "in a circle"])
def test_a_link_to_nothing_is_refused(tmp_path: Path, name: str) -> None:
    """An export that is missing must not go unnoticed, and a circle of links has no end."""
    (tmp_path / "b.csv").symlink_to(name)
    (tmp_path / "c.csv").symlink_to("b.csv")
    with pytest.raises(InputError, match=r"b\.csv: is a link to nothing; delete it"):
        _names(tmp_path)


def test_input_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk of the copy is not at fault."""
    with (tmp_path / "a.csv").open("wb") as writing, open(writing.fileno(), "rb", closefd=False) as reading:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(reading))
        with pytest.raises(InputError, match="standard input: can't be read: Bad file descriptor"):
            expand([Path("-")], print)


def test_a_folder_without_exports_is_refused(tmp_path: Path) -> None:
    """A folder in which nothing can be read would otherwise look like a campaign without rows."""
    (tmp_path / "logo.png").touch()
    with pytest.raises(InputError, match="holds no export"):
        _names(tmp_path)
