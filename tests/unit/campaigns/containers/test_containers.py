"""Every container gives the rows that the plain file has, and a broken or hostile one costs one line."""

import errno
import gzip
import io
import os
import stat
import struct
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import pytest

from tests.unit.campaigns.containers.packing import nameless, overlapping, shortened, with_password, zipped
from tests.unit.campaigns.exports.xlsx.sheets import row, workbook
from worker.campaigns.containers.expand import expand
from worker.campaigns.containers.spool import copied
from worker.campaigns.containers.zipped import LatestArchive, members_of
from worker.campaigns.dedup import JobIndex
from worker.campaigns.importer import Importer
from worker.campaigns.options import ImportOptions
from worker.errors import InputError, ReferralError, UsageError

CSV = b"customer_email\nann@example.org\nbob@example.org\n"
_PACKS: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, lambda content: zipped({"a.csv": content})]
EMAILS = ["ann@example.org", "bob@example.org"]


class Read:
    """What reading some arguments came to."""

    def __init__(self, *arguments: Path) -> None:
        self.notes: list[str] = []
        options = ImportOptions(shop="acme", campaign="spring", channel="sms")
        self.files = expand(arguments, self.notes.append)
        with JobIndex() as index:
            self.importer = Importer(self.files, options, index=index, published_at=None, allowed_shops=None)
            self.importer.check()
            self.emails = sorted(str(job.customer.email) for job in self.importer)

    @property
    def names(self) -> list[str]:
        return [file.name for file in self.files]


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Writes a file."""

    def put(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    return put


Put = Callable[[str, bytes], Path]


@pytest.mark.parametrize("name", ["export.csv.gz", "export.csv", "export"])
def test_gzip_is_known_by_its_bytes(put: Put, name: str) -> None:
    """A gzip file of several parts is read to its end, whatever it is called."""
    parts = gzip.compress(CSV[:20]) + gzip.compress(CSV[20:]) + bytes(512)
    read = Read(put(name, parts))
    assert read.emails == EMAILS
    assert read.names == [str(read.files[0].path)]


class Counting:
    """A file that counts how often it is opened."""

    member = None

    def __init__(self, path: Path) -> None:
        self.path = self.on_disk = path
        self.name = str(path)
        self.opened = 0

    def open(self) -> io.BufferedReader:
        self.opened += 1
        return io.BufferedReader(io.FileIO(self.path))

    def check(self) -> None:
        """Nothing to do."""


def test_a_zip_is_opened_once_for_all_its_members(put: Put) -> None:
    """Its list of members is not read for each member and pass, which would take the square of their number."""
    file = Counting(put("many.zip", zipped({f"{number}.csv": CSV for number in range(50)})))
    for _ in range(2):
        for member in members_of(file, LatestArchive(), pytest.fail):
            for _ in range(3):
                with member.open() as stream:
                    assert stream.read() == CSV
    assert file.opened == 2 * 3


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_its_members_in_its_order(put: Put, compression: int) -> None:
    """All exports of an archive are read, without what macOS and others add; the rest is named."""
    members = {
        "z/second.csv": b"customer_email\nann@example.org\n",
        "__MACOSX/._second.csv": b"\0",
        ".DS_Store": b"\0",
        "logo.png": b"\x89PNG",
        "a.jsonl": b'{"customer_email": "bob@example.org"}\n',
    }
    read = Read(put("lists", zipped(members, compression=compression)))
    assert read.emails == EMAILS
    assert [file.member for file in read.files] == ["z/second.csv", "a.jsonl"]
    assert read.names == [f"{read.files[0].path}/{name}" for name in ("z/second.csv", "a.jsonl")]
    assert read.notes == [f"{read.files[0].path}/logo.png: is no kind of export and is left out"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\passwd", "c:/passwd", "a/../../passwd"])
def test_a_member_that_leads_out_has_its_last_name_alone(put: Put, name: str) -> None:
    """A member is read where it lies, and nothing shows or uses a path that leads out of the archive."""
    read = Read(put("lists.zip", zipped({name: CSV})))
    assert read.emails == EMAILS
    assert [file.member for file in read.files] == ["passwd"]
    assert list(read.files[0].path.parent.iterdir()) == [read.files[0].path]


def test_a_long_name_of_a_member_is_cut(put: Put) -> None:
    """The format allows 65,535 characters, which would fill the screen; the end tells the kind of file."""
    read = Read(path := put("lists.zip", zipped({"x" * 65_000 + ".csv": CSV})))
    assert read.names == [f"{path}/…{'x' * 196}.csv"]


def test_a_member_of_the_size_that_its_archive_tells_too_large_is_whole(put: Put) -> None:
    """A program that writes to a pipe can't know the size; the checksum tells that nothing is missing."""
    data = bytearray(zipped({"a.csv": CSV}))
    struct.pack_into("<L", data, data.find(b"PK\x01\x02") + 24, 3 * len(CSV))
    assert Read(put("lists.zip", bytes(data))).emails == EMAILS


def test_links_in_a_zip_are_left_out(put: Put) -> None:
    """A link is no export, and is named."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("link.csv")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("export.csv", CSV)
    read = Read(put("lists.zip", buffer.getvalue()))
    assert read.emails == EMAILS
    assert read.notes == [f"{read.files[0].path}/link.csv: is a link and is left out"]


def test_a_workbook_may_be_a_member_or_come_through_a_pipe(put: Put, tmp_path: Path) -> None:
    """A workbook is a zip archive too, and is read where no archive within an archive is."""
    book = workbook(row(1, "customer_email") + row(2, "ann@example.org") + row(3, "bob@example.org"))
    read = Read(put("lists.zip", zipped({"a.xlsx": book})))
    assert read.emails == EMAILS
    assert read.names == [f"{read.files[0].path}/a.xlsx"]
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[book])
    writer.start()
    assert Read(tmp_path / "pipe").emails == EMAILS
    writer.join()


def test_rejects_of_an_archive_lie_beside_it(put: Put) -> None:
    """The members of an archive share one rejects file."""
    bad = b"customer_email\nnobody\n"
    read = Read(path := put("lists.zip", zipped({"a.csv": bad, "b.csv": bad})))
    assert read.importer.reject_files == [path.with_name("lists.zip.rejects.csv")]
    assert read.importer.rejected == {"no_customer": 2}


def test_containers_in_a_folder_are_opened(put: Put) -> None:
    """A folder may hold archives too; each row comes once."""
    put("lists/a.csv.gz", gzip.compress(b"customer_email\nann@example.org\n"))
    path = put("lists/b.zip", zipped({"b.csv": b"customer_email\nbob@example.org\n"}))
    read = Read(path.parent)
    assert read.emails == EMAILS
    assert read.importer.reject_files == []


def test_rejects_of_a_folder_lie_beside_it(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    """So they do if the folder is given as `.`, where they lie in it, and the next run leaves them out."""
    path = put("lists/a.csv", b"customer_email\nnobody\n").parent
    assert Read(path).importer.reject_files == [path.with_name("lists.rejects.csv")]
    monkeypatch.chdir(path)
    for notes in ([], ["lists.rejects.csv: was written by an earlier command and is left out"]):
        read = Read(Path())
        assert read.importer.reject_files == [Path("lists.rejects.csv")]
        assert read.notes == notes


def _deep(content: bytes, repeats: int) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as file:
        for _ in range(repeats):
            file.write(content)
    return buffer.getvalue()


def _named(name: bytes) -> bytes:
    """A gzip file with this name in its header."""
    packed = gzip.compress(CSV)
    return packed[:3] + b"\x08" + packed[4:10] + name + b"\0" + packed[10:]


_ODS = zipped({"mimetype": b"application/vnd.oasis.opendocument.spreadsheet", "content.xml": b""}, compression=0)
_PLENTY = b"customer_email\n" + b"\n" * (1024 * 1024)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
_TAR = b"export.csv" + bytes(247) + b"ustar\x0000" + bytes(248)
# Made by their tests: each process of a test run imports all tests, and bombs take a second.
_HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "truncated gzip": (lambda: gzip.compress(CSV * 1000)[:-100], "is cut off"),
    "gzip without its end": (lambda: gzip.compress(CSV)[:-4], "is cut off"),
    "gzip with a wrong sum": (lambda: gzip.compress(CSV)[:-8] + bytes(8), "is damaged"),
    "gzip with something behind": (lambda: gzip.compress(CSV) + b"more", "is damaged"),
    "gzip of a zip": (lambda: gzip.compress(zipped({"a.csv": CSV})), "an archive within an archive"),
    "gzip of a gzip": (lambda: gzip.compress(gzip.compress(CSV)), "an archive within an archive"),
    "gzip of a tar": (lambda: gzip.compress(_TAR), "is a tar archive"),
    "gzip bomb": (lambda: _deep(_PLENTY, 80), "unpacks to more than 200 times its size"),
    "zip bomb": (lambda: zipped({"a.csv": _PLENTY * 80}), "unpacks to more than 200 times its size"),
    "zip bomb of overlaps": (lambda: overlapping(_PLENTY, 80), "unpacks to more than 200 times its size"),
    "zip with a password": (lambda: with_password(zipped({"a.csv": CSV})), "a.csv: needs a password"),
    "zip within a zip": (lambda: zipped({"a.zip": zipped({"a.csv": CSV})}), "a.zip: is an archive within an archive"),
    "gzip within a zip": (
        lambda: zipped({"a.csv.gz": gzip.compress(CSV)}),
        "a.csv.gz: is an archive within an archive",
    ),
    "zip by bzip2": (
        lambda: zipped({"a.csv": CSV}, compression=zipfile.ZIP_BZIP2),
        "a.csv: is compressed in an unusual way",
    ),
    "zip with a wrong sum": (
        lambda: zipped({"a.csv": CSV}, compression=zipfile.ZIP_STORED).replace(b"ann@", b"eve@"),
        "damaged",
    ),
    "zip with more than it tells": (lambda: shortened(CSV * 1000, 100), "a.csv: is damaged"),
    "stored zip with more than it tells": (
        lambda: shortened(CSV, 40, compression=zipfile.ZIP_STORED),
        "a.csv: is damaged",
    ),
    "zip of the same bytes many times": (lambda: overlapping(CSV, 3), "is damaged"),
    "zip of a file without a name": (lambda: nameless(CSV), "holds no export"),
    "spreadsheet of LibreOffice": (lambda: _ODS, "is of LibreOffice's own format (.ods)"),
    "spreadsheet of LibreOffice within a zip": (
        lambda: zipped({"a.ods.csv": _ODS}),
        "a.ods.csv: is of LibreOffice's own",
    ),
    "document of Word": (
        lambda: zipped({"[Content_Types].xml": b"", "word/document.xml": b""}),
        "has no sheet of rows",
    ),
    "gzip of a long name": (lambda: _named(b"n" * 2_000_000), "is packed as no program does it"),
    "gzip of empty parts": (
        lambda: gzip.compress(b"") * 60_000 + gzip.compress(CSV),
        "is packed as no program does it",
    ),
    "zip without its end": (lambda: zipped({"a.csv": CSV * 1000})[:-30], "is damaged"),
    "zip of nothing": (lambda: zipped({}), "holds no export"),
    "zip of pictures": (lambda: zipped({"logo.png": b""}), "holds no export"),
    "zip of hidden files": (lambda: zipped({".a.csv": CSV, "__MACOSX/a.csv": CSV}), "holds no export"),
    "zip of too many": (lambda: zipped({f"{n}.csv": b"" for n in range(10_001)}), "holds more than 10,000 files"),
    "encrypted or old spreadsheet": (lambda: _OLE, "is a spreadsheet with a password, or of a format before .xlsx"),
    "tar": (lambda: _TAR, "is a tar archive"),
    "xz": (lambda: b"\xfd7zXZ\x00" + bytes(64), "is compressed by xz"),
    "zstd": (lambda: b"\x28\xb5\x2f\xfd" + bytes(64), "is compressed by zstd"),
}


@pytest.mark.parametrize("case", _HOSTILE)
def test_what_cannot_be_unpacked_costs_one_line(put: Put, case: str) -> None:
    """A broken or hostile archive is refused before any row of it is used, and the line names it."""
    make, message = _HOSTILE[case]
    path = put("export.csv", make())
    with pytest.raises(ReferralError) as refused:
        Read(path)
    line = str(refused.value)
    assert line.startswith(f"{path}")
    assert message in line
    assert "\n" not in line
    assert sorted(path.parent.iterdir()) == [path]


_LONG = b"customer_email\n" + b"".join(b"customer%d@example.org\n" % number for number in range(100_000))
_SHEET = row(1, "customer_email") + "".join(row(number, f"customer{number}@example.org") for number in range(2, 20_000))


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(_LONG)[:-8] + bytes(8),
        zipped({"a.csv": _LONG}, compression=zipfile.ZIP_STORED).replace(b"customer99999@", b"customer99998@"),
        workbook(_SHEET, compression=zipfile.ZIP_STORED).replace(b"customer19999@", b"customer19998@"),
    ],
    ids=["gzip", "zip", "xlsx"],
)
def test_damage_at_the_end_is_found_before_the_first_row(put: Put, content: bytes) -> None:
    """What can't be read to its end is refused when its header is looked at, so that nothing of it was sent."""
    options = ImportOptions(shop="acme", campaign="spring", channel="sms")
    with JobIndex() as index:
        importer = Importer(
            expand([put("export", content)], print), options, index=index, published_at=None, allowed_shops=None
        )
        with pytest.raises(InputError, match="is damaged"):
            importer.check()


def test_a_long_list_of_members_is_not_read(put: Put) -> None:
    """The list of members is bounded by its bytes before it is read."""
    names = {f"{'x' * 60_000}{n}": b"" for n in range(100)}
    with pytest.raises(InputError, match="is damaged"):
        Read(put("lists.zip", zipped(names)))


def test_a_million_empty_rows_are_no_bomb(put: Put) -> None:
    """Blank rows are skipped, however many they are."""
    assert Read(put("export.csv.gz", gzip.compress(CSV + b"\n" * 1_000_000))).emails == EMAILS


@pytest.mark.parametrize("pack", _PACKS, ids=["plain", "gzip", "zip"])
def test_a_pipe_is_read_once_and_kept(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """What comes through a pipe is an export, packed or not, and its rejects lie beside the pipe."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    content = pack(CSV + b"nobody\n")
    with_writer = threading.Thread(target=path.write_bytes, args=[content])
    with_writer.start()
    read = Read(path)
    with_writer.join()
    assert read.emails == EMAILS
    assert read.importer.reject_files == [tmp_path / "pipe.rejects.csv"]
    assert read.files[0].on_disk is None


def test_a_pipe_of_the_shell_has_its_rejects_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside /dev/fd/63 no file can be written, so they are in the working directory."""
    monkeypatch.chdir(tmp_path)
    reading, writing = os.pipe()
    os.write(writing, CSV + b"nobody\n")
    os.close(writing)
    read = Read(Path(f"/dev/fd/{reading}"))
    os.close(reading)
    assert read.emails == EMAILS
    assert read.importer.reject_files == [Path(f"pipe-{reading}.rejects.csv")]


def test_standard_input_is_named_once() -> None:
    """A second reader of standard input would find nothing."""
    with pytest.raises(UsageError, match="can be read only once"):
        expand([Path("-"), Path("-")], print)


def test_a_device_is_no_export() -> None:
    """A device may never end."""
    with pytest.raises(InputError, match="is not a regular file"):
        Read(Path("/dev/zero"))


_MARK = b"\xef\xbb\xbf"
_NAUGHTY: dict[str, tuple[bytes, list[str], dict[str, int]]] = {
    "byte order marks": (
        b"\xef\xbb\xbf\xef\xbb\xbfcustomer_email\n\xef\xbb\xbfann@example.org\n",
        ["ann@example.org"],
        {},
    ),
    "NUL": (CSV + b"eve\0@example.org\n\0\0\0\n", EMAILS, {"unreadable_row": 2}),
    "lone CR": (CSV.replace(b"\n", b"\r"), EMAILS, {}),
    "CR within a cell": (
        b"customer_email,x\nann@example.org,a\rb\nbob@example.org,c\n",
        [],
        {"unreadable_row": 1, "doubtful_row": 2},
    ),
    "open quote at the end": (
        CSV + b'"eve@example.org\n',
        ["ann@example.org"],
        {"unreadable_row": 1, "doubtful_row": 1},
    ),
    "10 MB cell": (
        b"customer_email,x\nann@example.org,1\neve@example.org," + b"x" * 10 * 1024 * 1024 + b"\nbob@example.org,2\n",
        EMAILS,
        {"unreadable_row": 1},
    ),
    "mixed encodings": (
        b"customer_email,sender\nann@example.org,Zo\xc3\xab\nbob@example.org,Zo\xeb\neve@example.org,\x81\n",
        EMAILS,
        {"unreadable_row": 1},
    ),
    "look-alike addresses": (
        "customer_email\nann@example.org\nＡＮＮ＠example.org\nаnn@example.org\n".encode(),
        ["ann@example.org", "аnn@example.org"],
        {"duplicate_row": 1},
    ),
    "thousands of empty rows": (
        b"customer_email,x\nann@example.org,\n" + b",\n" * 10_000 + b"\n" * 100_000 + b"bob@example.org,",
        EMAILS,
        {},
    ),
}


@pytest.mark.parametrize("case", _NAUGHTY)
@pytest.mark.parametrize("pack", _PACKS, ids=["plain", "gzip", "zip"])
def test_naughty_rows_cost_themselves(put: Put, pack: Callable[[bytes], bytes], case: str) -> None:
    """Packed or not, the good rows become jobs, and each other row is rejected with its reason: none is lost."""
    content, emails, rejected = _NAUGHTY[case]
    importer = (read := Read(put("export.csv", pack(content)))).importer
    assert read.emails == emails
    assert dict(importer.rejected) == rejected
    assert importer.rows == len(emails) + sum(rejected.values())
    for path in importer.reject_files:
        assert path.read_bytes().count(b"\n") == 1 + sum(rejected.values())
    assert not any("\n" in warning for warning in importer.warnings)


@pytest.mark.parametrize("pack", _PACKS, ids=["plain", "gzip", "zip"])
def test_a_header_with_a_name_twice_is_refused(put: Put, pack: Callable[[bytes], bytes]) -> None:
    """Nobody knows which of two columns holds the address."""
    content = pack(b"customer_email,customer_email\nann@example.org,bob@example.org\n")
    with pytest.raises(UsageError, match="rename all but one in the export"):
        Read(put("export.csv", content))


def test_a_pipe_that_breaks_is_not_the_temporary_folder_s_fault() -> None:
    """Its own error is reported under its own name, without the remedy for a full disk."""

    class Broken(io.RawIOBase):
        def read(self, _size: int = -1, /) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(InputError) as raised:
        copied("standard input", cast("IO[bytes]", Broken()))
    assert str(raised.value) == "standard input: can't be read: Input/output error"
