"""Tests for the upload files on disk."""

import gc
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from tests.importers import IMPORTERS, parts_of
from tests.unit.interruption import Interruption
from worker.errors import InputError, UsageError
from worker.merging.uploads.parts import Part, UploadParts
from worker.merging.uploads.selection import Upload
from worker.merging.uploads.table import TOOLS
from worker.merging.uploads.tool import Tool

LINK = "https://acme.example.com/r/abc123"


def written(tool: Tool, uploads: list[Upload], out: Path) -> list[Part]:
    """Write an upload with the default name of its column."""
    with UploadParts(tool, tool.link_column, out) as parts:
        for upload in uploads:
            parts.add(upload)
        return list(parts.finish())


def names_in(folder: Path) -> list[str]:
    """The files that are there."""
    return [path.name for path in folder.iterdir()]


def failing(parts: UploadParts) -> None:
    """Five lines, and an error in place of the sixth."""
    for upload in people(5):
        parts.add(upload)
    raise InputError("a rehearsal")


def people(number: int) -> list[Upload]:
    """Lines of so many addresses, some beyond ASCII and with what CSV quotes."""
    return [Upload(0, f'"é{n},;"@example.com' if n % 5 == 0 else f"p{n}@example.com", LINK) for n in range(number)]


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_a_small_upload_is_one_file_that_the_tool_takes(tmp_path: Path, tool: Tool) -> None:
    """Under the name that was asked for, readable by its owner alone, and with nothing else beside it."""
    kind = len(tool.identifiers) - 1
    parts = written(tool, [Upload(kind, "+ann@example.com", LINK)], tmp_path / "links.csv")
    assert [part.path.name for part in parts] == names_in(tmp_path) == ["links.csv"]
    assert stat.S_IMODE(parts[0].path.stat().st_mode) == 0o600
    (line,) = IMPORTERS[tool.name].read(parts[0].path)
    assert line == {tool.identifiers[kind].name: "+ann@example.com", **tool.constants, tool.link_column: LINK}


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
@pytest.mark.parametrize(("most_bytes", "most_rows"), [(2_000, None), (1_000_000, 70), (2_000, 30)])
def test_parts_are_within_the_limits_and_hold_every_row_once(
    tmp_path: Path, tool: Tool, most_bytes: int, most_rows: int | None
) -> None:
    """Each with its header, in the order of the rows, and none much smaller than it could be."""
    small = replace(tool, most_bytes=most_bytes, most_rows=most_rows)
    kind = len(tool.identifiers) - 1
    uploads = [upload._replace(kind=kind) for upload in people(1_000)]

    parts = written(small, uploads, tmp_path / "links.csv")

    paths = parts_of(tmp_path / "links.csv")
    assert [part.path for part in parts] == paths
    lines = [IMPORTERS[tool.name].read(path) for path in paths]
    assert [line[tool.identifiers[kind].name] for part in lines for line in part] == [u.identifier for u in uploads]
    assert [(part.rows, part.size) for part in parts] == [
        (len(part), path.stat().st_size) for part, path in zip(lines, paths, strict=True)
    ]
    assert max(part.size for part in parts) <= most_bytes
    assert most_rows is None or max(part.rows for part in parts) <= most_rows
    assert all(part.size > most_bytes - 200 or part.rows == most_rows for part in parts[:-1])


def test_each_kind_of_identifier_has_files_of_its_own(tmp_path: Path) -> None:
    """Rows with an id and rows with an address alternate, and no file holds both."""
    uploads = [Upload(n % 2, str(n) if n % 2 == 0 else f"p{n}@example.com", LINK) for n in range(10)]
    parts = written(TOOLS["hubspot"], uploads, tmp_path / "links.csv")
    assert [(part.path.name, part.identifier, part.rows) for part in parts] == [
        ("links-1.csv", "Record ID", 5),
        ("links-2.csv", "Email", 5),
    ]
    assert [len(IMPORTERS["hubspot"].read(part.path)) for part in parts] == [5, 5]


def test_nothing_is_left_of_an_upload_that_fails(tmp_path: Path) -> None:
    """Neither a part nor a draft, if reading the rows ends by an error."""
    small = replace(TOOLS["klaviyo"], most_rows=2)
    with pytest.raises(InputError, match="rehearsal"), UploadParts(small, "link", tmp_path / "links.csv") as parts:
        failing(parts)
    assert names_in(tmp_path) == []


def test_an_upload_without_a_row_makes_no_file(tmp_path: Path) -> None:
    """An importer refuses a header alone."""
    assert written(TOOLS["klaviyo"], [], tmp_path / "links.csv") == []
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("there", ["links.csv", "links-1.csv", "links-17.csv"])
def test_no_file_is_replaced_or_mixed_with_parts_of_another_upload(tmp_path: Path, there: str) -> None:
    """An export under that name stays as it is, and a stale part is named before anything is read."""
    (tmp_path / there).write_text("Email\nann@example.com\n")
    with pytest.raises(UsageError, match=there):
        written(TOOLS["klaviyo"], people(1), tmp_path / "links.csv")
    assert names_in(tmp_path) == [there]
    assert (tmp_path / there).read_text() == "Email\nann@example.com\n"


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """The check before the first row is made again before the files get their names."""
    with UploadParts(TOOLS["klaviyo"], "link", tmp_path / "links.csv") as parts:
        parts.add(people(1)[0])
        (tmp_path / "links.csv").write_text("somebody's\n")
        with pytest.raises(UsageError, match="is there already"):
            parts.finish()
    assert names_in(tmp_path) == ["links.csv"]
    assert (tmp_path / "links.csv").read_text() == "somebody's\n"


@pytest.mark.parametrize("out", ["links", "links.xlsx", "."])
def test_a_name_that_importers_do_not_take_is_refused(tmp_path: Path, out: str) -> None:
    """They know a CSV by its name."""
    with pytest.raises(UsageError, match=r"end in \.csv"):
        written(TOOLS["klaviyo"], people(1), tmp_path / out)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """Before anything is read."""
    with pytest.raises(InputError, match="nowhere"):
        written(TOOLS["klaviyo"], people(1), tmp_path / "nowhere" / "links.csv")


# An interrupted command ends, and its files are closed with it. Some are in cycles, which are collected at its end:
# since Python 3.12 their warnings came amid other tests.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_signal_leaves_some_of_the_parts(tmp_path: Path) -> None:
    """Whenever Ctrl-C comes, all parts have their names or none has, also if it comes right after one got its own."""
    tool = replace(TOOLS["klaviyo"], most_rows=1)
    whole = {f"links-{number}.csv" for number in (1, 2, 3)}
    number, came = 0, True
    while came:
        number += 1
        interruption = Interruption(number)
        with interruption.expected():
            written(tool, people(3), tmp_path / "links.csv")
        came = interruption.came
        assert set(names_in(tmp_path)) in (set(), whole), number
        for path in tmp_path.iterdir():
            path.unlink()
    assert number > 100
    gc.collect()
