"""What a marketing system exports: CSV in its encodings, JSON, archives and workbooks."""

import csv
import io
import zipfile
from pathlib import Path

from tests.fuzz.messages import NOW
from tests.fuzz.promises import same_cells, shown, told
from tests.fuzz.target import Target, folder, parts
from worker.campaigns.containers.expand import expand
from worker.campaigns.containers.plain import PlainFile
from worker.campaigns.csv_escaping import REJECTS, REJECTS_ROW, unescape_cells
from worker.campaigns.dedup import JobIndex
from worker.campaigns.exports.detect import open_export
from worker.campaigns.exports.text import Source
from worker.campaigns.importer import Importer
from worker.campaigns.options import ImportOptions
from worker.campaigns.presets.recognition import Recognition
from worker.campaigns.warnings import ImportWarnings
from worker.errors import InputError, UsageError
from worker.model.message import decode_message, encode_message

MAPPING = {"customer_email": "Email"}

_MOST_WARNINGS = 100


def delimited(data: bytes) -> None:
    """A CSV is refused as a whole, or each row of it is a job or lies in the rejects, which can be read again."""
    _imported(data, "export.csv")


def lines_of_json(data: bytes) -> None:
    """The same of lines of JSON, and of one array."""
    _imported(data, "export.jsonl")


def archive(data: bytes) -> None:
    """Any bytes are refused as a whole, or each row of each export in them is a job or rejected."""
    with folder() as place:
        path = place / "export"
        path.write_bytes(data)
        _held(path)


def sheet(data: bytes) -> None:
    """The same of a workbook whose rows, shared texts and formats are anything."""
    rows, strings, styles = parts(data, 3)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/workbook.xml", _WORKBOOK)
        packed.writestr("xl/_rels/workbook.xml.rels", _RELATIONS)
        packed.writestr("xl/worksheets/sheet1.xml", rows)
        packed.writestr("xl/sharedStrings.xml", strings)
        packed.writestr("xl/styles.xml", styles)
    with folder() as place:
        path = place / "export.xlsx"
        path.write_bytes(buffer.getvalue())
        _held(path)


def _held(path: Path) -> None:
    # What is in the archive stays there: at most the rejects come beside it.
    notes: list[str] = []
    with JobIndex() as index:
        try:
            files = expand([path], notes.append)
            options = ImportOptions(shop=None, campaign="spring", channel="sms", mapping=MAPPING)
            importer = Importer(files, options, index=index, published_at=NOW, allowed_shops={"acme", "globex"})
            jobs = sum(1 for _ in importer)
        except (InputError, UsageError) as error:
            told(error)
            return
    assert jobs == importer.accepted
    assert importer.rows == importer.accepted + importer.finished + importer.rejected.total()
    for line in (*notes, *importer.warnings):
        shown(line)
    assert {*path.parent.iterdir()} == {path, *importer.reject_files}


def _imported(data: bytes, name: str) -> None:
    with folder() as place, JobIndex() as index:
        path = place / name
        path.write_bytes(data)
        options = ImportOptions(shop=None, campaign="spring", channel="sms", mapping=MAPPING)
        importer = Importer([PlainFile(path)], options, index=index, published_at=NOW, allowed_shops={"acme", "globex"})
        jobs = 0
        try:
            most = importer.count()
            for job in importer:
                jobs += 1
                assert decode_message(encode_message(job, published_at_ms=0)) == job
        except (InputError, UsageError) as error:
            told(error)
            return
        assert jobs == importer.accepted <= most
        assert importer.rows == importer.accepted + importer.finished + importer.rejected.total()
        assert len(importer.warnings) < _MOST_WARNINGS
        for warning in importer.warnings:
            shown(warning)
        assert len(importer.reject_files) == bool(importer.rejected)
        for rejects in importer.reject_files:
            _read_again(path, rejects, importer.rejected.total())


def _read_again(export: Path, rejects: Path, count: int) -> None:
    # Any CSV reader sees the rows, no spreadsheet computes one, and ours gives their cells back as they were.
    csv.field_size_limit(1 << 30)
    rows = list(csv.reader(io.StringIO(rejects.read_bytes().decode(), newline="")))
    assert rows[0][:3] == [*REJECTS, REJECTS_ROW]
    assert len(rows) == 1 + count
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for row in rows for cell in row)
    recognition = Recognition(MAPPING, (), has_shop=True, channel="sms")
    was = open_export(Source(PlainFile(export), None, ImportWarnings()), recognition)
    # One line may hold several elements of an array.
    cells: dict[int, list[list[str]]] = {}
    for record in was.records():
        cells.setdefault(record.line, []).append(list(record.cells))
    columns = list(was.columns)
    if was.delimiter:
        again = open_export(Source(PlainFile(rejects), None, ImportWarnings()), recognition)
        assert same_cells(list(again.columns), [*REJECTS, REJECTS_ROW, *columns])
        found = [list(record.cells) for record in again.records()]
    else:
        # One cell, which only a person reads.
        found = [unescape_cells(row) for row in rows[1:]]
    assert len(found) == count
    for line, _, row, *kept in found:
        assert int(row) <= int(line)
        assert any(
            same_cells(kept, expected) or same_cells(kept, expected + [""] * (len(columns) - len(expected)))
            for expected in cells[int(line)]
        )


_CSV = (
    b",",
    b";",
    b"\t",
    b'"',
    b'""',
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xe9",
    b"\x81",
    b"=1+1",
    b"'",
    b"Email,shop,channel,destination,reference\n",
    b"Email,Klaviyo ID,Email Marketing Consent,Email Suppressions\n",
    b"Email,Portal Bounce,Portal Unsubscribe\n",
    b"Email,LEID,EUID,UNSUB_TIME\n",
    b"SUBSCRIBED",
    b"[]",
    b"line,reason,",
    b"ann@example.org",
    b"acme",
    b"\xe2\x80\xa8",
)
_JSONL = (
    b"{",
    b"}\n",
    b'"customer":{"email":',
    b'"Email":"ann@example.org"',
    b'"shop":"acme"',
    b'"customer.email":',
    b'"channel":null',
    b"\\ud800",
    b"1e999",
    b"NaN",
    b"true",
    b"[",
    b"\r",
    b"12345678901234567890",
)

_MAIN = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_WORKBOOK = b'<workbook xmlns:r="r"><sheets><sheet name="A" r:id="a"/></sheets></workbook>'
_RELATIONS = b'<Relationships><Relationship Id="a" Type="/worksheet" Target="worksheets/sheet1.xml"/></Relationships>'
_ARCHIVE = (
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"PK\x06\x07",
    b"\x1f\x8b\x08",
    b"../",
    b"\x1b[2J",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"xl/",
    b"ann@example.org",
    b"Email,shop\n",
)
_SHEET = (
    _MAIN,
    b"<row>",
    b"</row>",
    b'<c r="A1" t="s" s="1">',
    b't="inlineStr"><is><t>',
    b"</t></is></c>",
    b"<v>7.2E+16</v>",
    b"<v>-1</v>",
    b"<v>99999999999999999999</v>",
    b'r="1048577"',
    b'numFmtId="14"',
    b'formatCode="00000"',
    b'formatCode="[h]:mm"',
    b"<!DOCTYPE x [<!ENTITY a 'b'>]>",
    b"&#x9;",
    b"_x0007_",
    b"xml:space",
    b"Email",
    b"\n--\n",
)

TARGETS = (
    Target("csv", delimited, _CSV),
    Target("jsonl", lines_of_json, _JSONL),
    Target("archive", archive, _ARCHIVE),
    Target("sheet", sheet, _SHEET),
)
