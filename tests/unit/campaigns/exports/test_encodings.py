"""Encodings that a command names, and the warning about a guessed one."""

import json

import pytest

from tests.unit.campaigns.conftest import Import
from worker.campaigns.exports.encodings import parse_encoding
from worker.errors import UsageError

HEADER = "customer_email,sender\n"
LEGACY = [
    ("cp1250", "Łukasz Żak"),
    ("cp1251", "Анна Иванова"),
    ("cp932", "山田太郎ソ表"),
    ("sjis", "山田太郎ソ表"),
    ("gb18030", "张伟"),
    ("koi8-r", "Анна"),
    ("utf-16", "Łukasz 山田"),
    ("utf-16-le", "Łukasz 山田"),
    ("utf-32", "Łukasz 山田"),
    ("utf-8", "Łukasz 山田"),
    ("utf-8-sig", "Łukasz 山田"),
]


@pytest.mark.parametrize(("encoding", "name"), LEGACY)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_named_encoding(run_import: Import, encoding: str, name: str, newline: str) -> None:
    """Every row is read by it, in CSV and in lines of JSON, and nothing is guessed."""
    content = f"{HEADER}one@example.com,{name}\ntwo@example.com,{name}\n".replace("\n", newline)
    line = json.dumps({"customer_email": "one@example.com", "sender": name}, ensure_ascii=False) + newline
    for text, suffix, count in ((content, ".csv", 2), (line, ".jsonl", 1)):
        done = run_import(text.encode(encoding), suffix=suffix, encoding=encoding)
        assert [job.sender for job in done.jobs] == [name] * count
        assert not done.importer.warnings


def test_a_guess_is_said_with_its_line(run_import: Import) -> None:
    """A line that is not valid UTF-8 is read as Windows-1252, with a warning about the first one of an export."""
    plain = "one@example.com,Zoë\n".encode()
    export = (
        HEADER.encode() + plain + "two@example.com,Łukasz\n".encode("cp1250") + "3@example.com,Żak\n".encode("cp1250")
    )
    done = run_import(export, HEADER.encode() + plain, HEADER.encode() + "four@example.com,Zoë\n".encode("cp1252"))
    assert [text.rpartition("/")[2] for text in done.importer.warnings] == [
        f"{number}.csv: line {line} is not UTF-8 and is read as Windows-1252, as is every other such line; if they "
        "are in another encoding, name it, such as --encoding cp1250, cp1251 or cp932"
        for number, line in ((0, 3), (2, 2))
    ]
    assert [job.sender for job in done.jobs] == ["Zoë", "£ukasz", "¯ak", "Zoë"]


def test_bytes_that_are_no_text(run_import: Import) -> None:
    """By a named encoding they cost their row, also where they would be text in another."""
    rows = HEADER.encode() + b"one@example.com,\x81\nthree@example.com,x\n"
    for encoding in ("cp1252", "utf-8"):
        done = run_import(rows, encoding=encoding)
        assert (done.emails, done.rejects) == (["three@example.com"], [(2, "unreadable_row")])
    assert run_import("customer_email\nä@example.com\n".encode("cp1252"), encoding="utf-8").jobs == []


@pytest.mark.parametrize(
    ("encoding", "mark"), [("cp1250", b"\xef\xbb\xbf"), ("utf-8", b"\xff\xfe"), ("utf-16", b"\xff\xfe\0\0")]
)
def test_a_byte_order_mark_of_another_encoding(run_import: Import, encoding: str, mark: bytes) -> None:
    """The file and the command contradict each other, and neither wins."""
    with pytest.raises(UsageError, match=r"0\.csv: begins with the byte order mark of UTF-\d+; leave --encoding out"):
        run_import(mark + HEADER.encode(), encoding=encoding)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_missing_byte_order_mark(run_import: Import, encoding: str, suffix: str) -> None:
    """Without the mark the order of bytes is unknown; the order that is named is used, or what plain letters show."""
    content = f"{HEADER}a@example.org,Zoë\n" if suffix == ".csv" else '{"customer_email": "a@example.org"}\n'
    for order in ("le", "be"):
        raw = content.encode(f"{encoding}-{order}")
        message = rf"^.*: has no byte order mark; give --encoding {encoding}-le or --encoding {encoding}-be$"
        with pytest.raises(UsageError, match=message):
            run_import(raw, suffix=suffix, encoding=encoding)
        assert run_import(raw, suffix=suffix, encoding=f"{encoding}-{order}").emails == ["a@example.org"]
        if encoding == "utf-16":
            done = run_import(raw, suffix=suffix)
            assert done.emails == ["a@example.org"]
            (note,) = done.importer.warnings
            assert f"has no byte order mark and is read as UTF-16-{order.upper()}," in note


@pytest.mark.parametrize(
    "name", ["", "nope", "hex", "rot13", "idna", "unicode_escape", "undefined", "a\0b", "ü" * 9999]
)
def test_what_is_no_encoding(run_import: Import, name: str) -> None:
    """It is refused before anything is read, with some that are usual."""
    with pytest.raises(UsageError, match=r"^--encoding .*is not a known text encoding; .*cp1250 \(Central Europe\)"):
        parse_encoding(name)
    with pytest.raises(UsageError, match="--encoding"):
        run_import(HEADER, encoding=name)


def test_rejects_are_run_again_by_the_same_command(run_import: Import) -> None:
    """A file of rejected rows is in UTF-8, whatever its export was in, and --encoding doesn't change that."""
    for encoding in ("cp1250", "utf-16"):
        done = run_import(f"{HEADER}one(at)example.com,Łukasz\n".encode(encoding), encoding=encoding)
        fixed = done.importer.reject_files[0].read_text(encoding="utf-8").replace("(at)", "@")
        assert [job.sender for job in run_import(fixed, encoding=encoding).jobs] == ["Łukasz"]
