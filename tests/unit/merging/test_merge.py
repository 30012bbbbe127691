"""Merged exports: the export to the byte, and what came back behind each row."""

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from tests.unit.merging.conftest import Done, answered
from tests.unit.merging.strip import appended, stripped
from tests.unit.merging.strip import rows as all_rows
from worker.campaigns.rows import DraftJob
from worker.errors import InputError, UsageError
from worker.merging.appended import COLUMNS
from worker.model.job import Job

GOLDEN = Path(__file__).parents[1] / "campaigns" / "presets" / "golden"
TOOLS = sorted(folder.name for folder in GOLDEN.iterdir())
NAMES = [*COLUMNS, "share_action.url", "share_action.n"]
HAS = "customer_email,note"

Merging = Callable[..., Done]


@pytest.mark.parametrize("tool", TOOLS)
def test_golden_exports_come_back_to_the_byte(tool: str, merge: Merging, tmp_path: Path) -> None:
    """What a tool has exported comes back unchanged but for what is appended, and each customer has the own link."""
    paths = [path for path in sorted((GOLDEN / tool).iterdir()) if path.name != "expected.json"]
    done = merge(paths, out="merged")
    expected = json.loads((GOLDEN / tool / "expected.json").read_text())
    assert done.merged.outcomes["sent"] == len(expected["jobs"])
    assert done.merged.outcomes["left_out"] == len(expected["rejected"])
    merged = {name if len(done.files) > 1 else "": data for name, data in done.files.items()}
    for path in paths:
        data = merged.get(path.name if len(merged) > 1 else "")
        if data is None or path.name == "unsubscribes-and-bounces.csv":
            continue
        original = path.read_bytes()
        if path.suffix == ".jsonl":
            for before, after in zip(original.splitlines(keepends=True), data.splitlines(keepends=True), strict=True):
                kept = before.rstrip()[:-1]
                assert after.startswith(kept)
                assert json.loads(after) == {**json.loads(before), **{n: json.loads(after).get(n) for n in NAMES}}
            continue
        delimiter = next(sign for sign in ";\t," if sign in original.decode("utf-8-sig").splitlines()[0])
        first = next(csv.reader(io.StringIO(original.decode()), delimiter=delimiter))
        assert stripped(data, "utf-8", delimiter, len(first)) == original
        for row in csv.reader(io.StringIO(data.decode()), delimiter=delimiter):
            link = row[len(first)] if len(row) > len(first) else ""
            # The link names its customer, who must stand in the same row.
            if link.startswith("https://x.test/"):
                assert link.removeprefix("https://x.test/") in {cell.lstrip("'").strip() for cell in row[: len(first)]}


def test_cells_by_row(merge: Merging, tmp_path: Path) -> None:
    """Each row has its outcome: sent, rejected, pending, or left out with the reason; a duplicate has the link."""
    export = tmp_path / "spring.csv"
    export.write_text(f"{HAS}\na@example.org,1\nnobody,2\na@example.org,3\nb@example.org,4\nc@example.org,5\n")

    def answer(job: Job) -> dict[str, object] | None:
        found = dict(answered(job) or {})
        if "b@" in repr(found):
            return {"outcome": "rejected", "code": "no_customers_match_customer_identity", "message": "=1+1"}
        return None if "c@" in repr(found) else found

    done = merge([export], answer)
    header, first, nobody, again, rejected, pending = appended(done.files["merged"], "utf-8", ",", 2)
    assert header == NAMES
    link, wa = "https://x.test/a@example.org", "https://wa.test/?text=a@example.org"
    text, when = 'Danke, "Zoë";\\nbis bald', "2026-09-01T00:00:00Z"
    assert first == [link, "invited", "sent", "", text, when, wa, "1"]
    assert nobody == ["", "", "left_out", "no_customer", "", "", "", ""]
    assert again == [link, "invited", "left_out", "duplicate_row", text, when, wa, "1"]
    assert rejected == ["", "", "rejected", "no_customers_match_customer_identity", "'=1+1", "", "", ""]
    assert pending == ["", "", "pending", "", "", "", "", ""]
    assert done.merged.outcomes == {"sent": 1, "left_out": 2, "rejected": 1, "pending": 1}


def test_rows_that_get_no_result_any_more(merge: Merging, tmp_path: Path) -> None:
    """Suppressed without a result is no pending row; one that has its result, or made no job, is not asked about."""
    export = tmp_path / "spring.csv"
    names = [f"c{number}@example.org" for number in range(1200)]
    export.write_text("customer_email\nnobody\n" + "".join(f"{name}\n" for name in names))
    asked: list[str] = []

    def opted_out(drafts: Sequence[DraftJob]) -> Sequence[bool]:
        asked.extend(draft.email for draft in drafts)
        return [draft.email in {"c1@example.org", "c700@example.org", "c1199@example.org"} for draft in drafts]

    def answer(job: Job) -> Mapping[str, object] | None:
        return answered(job) if job.customer.email == "c700@example.org" else None

    done = merge([export], answer, opted_out=opted_out)
    assert done.merged.outcomes == {"left_out": 1, "sent": 1, "suppressed": 2, "pending": 1197}
    assert asked == [name for name in names if name != "c700@example.org"]
    outcomes = [row[2] for row in appended(done.files["merged"], "utf-8", ",", 1)[1:]]
    assert [number for number, outcome in enumerate(outcomes) if outcome == "suppressed"] == [2, 1200]


def test_few_large_rows_are_held_while_they_are_asked_about(merge: Merging, tmp_path: Path) -> None:
    """Of rows of 400,000 characters three at once, not 500."""
    export = tmp_path / "spring.csv"
    note = "x" * 400_000
    export.write_text("customer_email,note\n" + "".join(f"c{number}@example.org,{note}\n" for number in range(8)))
    asked: list[int] = []

    def opted_out(drafts: Sequence[DraftJob]) -> Sequence[bool]:
        asked.append(len(drafts))
        return [True] * len(drafts)

    done = merge([export], lambda _: None, opted_out=opted_out)
    assert asked == [3, 3, 2]
    assert done.merged.outcomes == {"suppressed": 8}


CELLS = st.text(st.sampled_from("ab é,;\t|\"\n\r'=€"), max_size=8)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, phases=[Phase.generate], deadline=None
)
@given(
    rows=st.lists(st.tuples(st.booleans(), CELLS, CELLS), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    codec=st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"]),
    before=st.sampled_from(["", "sep", "\n"]),
    open_end=st.booleans(),
    blank=st.booleans(),
)
def test_any_dialect_comes_back_to_the_byte(
    merge: Merging,
    tmp_path: Path,
    rows: list[tuple[bool, str, str]],
    delimiter: str,
    end: str,
    quoting: int,
    codec: str,
    before: str,
    open_end: bool,
    blank: bool,
) -> None:
    """Whatever a CSV writer makes, in whatever encoding and with whatever line ends, comes back unchanged."""
    text = io.StringIO()
    lines = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)  # type: ignore[arg-type] # one of the constants
    lines.writerow(["customer_email", "note", "more"])
    for number, (named, *others) in enumerate(rows):
        # The standard library's writer leaves other line ends than its own without quotes.
        tear = "" if quoting == csv.QUOTE_ALL else "".join({"\r", "\n"} - set(end))
        note, more = (cell.translate(dict.fromkeys(map(ord, tear))) for cell in others)
        lines.writerow([f"p{number}@example.org" if named else "", note, more])
        if blank and not number % 2:
            text.write(end)
    lines.writerow(["last@example.org", "", "x"])
    start = {"": "", "sep": f"sep={delimiter}{end}", "\n": end}[before]
    whole = start + (text.getvalue().removesuffix(end) if open_end else text.getvalue())
    export = tmp_path / "spring.csv"
    export.write_bytes(whole.encode(codec))
    encoding = codec if codec == "cp1252" or codec.endswith("e") else None
    done = merge([export], encoding=encoding)
    after = done.files["merged"]
    # The mark of UTF-16 would be written in front once more.
    plain = {"utf-16": "utf-16-le", "utf-8-sig": "utf-8"}.get(codec, codec)
    if before == "sep":
        head = start.encode("utf-16" if codec == "utf-16" else codec)
        assert after.startswith(head)
        assert stripped(after[len(head) :], plain, delimiter, 3) == whole.encode(codec)[len(head) :]
    else:
        assert stripped(after, plain, delimiter, 3) == whole.encode(codec)
    linked = [
        cells for cells in all_rows(after, plain, delimiter) if any(cell.startswith("https://x") for cell in cells)
    ]
    assert all(cells[3] == f"https://x.test/{cells[0]}" for cells in linked)
    assert len(linked) == done.merged.links == done.merged.outcomes["sent"]


@pytest.mark.parametrize("blank", [b"\xe3\x80\x80,", b"\xc2\x85,", b'"\x0c\xe2\x80\xa8",', b"\xa0,\xa0"], ids=repr)
def test_rows_of_any_white_space_are_blank(merge: Merging, tmp_path: Path, blank: bytes) -> None:
    """Where the reader of rows finds nothing, the bytes are kept, in whichever of two encodings the line is."""
    export = tmp_path / "spring.csv"
    export.write_bytes(b"customer_email,note\na@example.org,1\n" + blank + b"\nb@example.org,2\n")
    done = merge([export])
    assert done.merged.outcomes == {"sent": 2}
    assert done.files["merged"].splitlines()[2].rstrip(b",") == blank.rstrip(b",")


def test_rows_that_could_not_be_taken_apart(merge: Merging, tmp_path: Path) -> None:
    """A short row is filled up, so that what is appended stands below its columns; nothing goes into open quotes."""
    export = tmp_path / "spring.csv"
    export.write_text(
        'customer_email,note,more\na@example.org,x,y\n\nb@example.org\nc@example.org,x,y,z\n,,\n"d@example.org,x,y\n'
        "e@example.org,x,y\nf@example.org,x,y\n"
    )
    done = merge([export])
    rows = done.files["merged"].decode().splitlines()
    assert rows[2] == ""
    assert rows[3] == "b@example.org,,,,,left_out,unreadable_row,,,,"
    assert rows[4] == "c@example.org,x,y,z"
    assert rows[5] == ",,,,,,,,,,"
    assert rows[6] == '"d@example.org,x,y'
    assert rows[8].startswith("f@example.org,x,y,https://x.test/f@")
    assert done.merged.remarks.as_it_was == {"surplus cells": 1, "open quotes": 1}


def test_what_an_encoding_lacks_is_told(merge: Merging, tmp_path: Path) -> None:
    """A letter that the export's encoding doesn't have becomes a question mark, and the rows are counted."""
    export = tmp_path / "spring.csv"
    export.write_bytes(f"{HAS}\na@example.org,żó\n".encode("cp1250"))
    done = merge([export], lambda _: {"outcome": "sent", "message": "日本 ż"}, encoding="cp1250")
    assert "?? ż" in done.files["merged"].decode("cp1250")
    assert done.merged.remarks.substituted == 1


def test_a_guessed_encoding_is_kept(merge: Merging, tmp_path: Path) -> None:
    """What is appended to a file in Windows-1252 is in Windows-1252, also behind plain rows."""
    export = tmp_path / "spring.csv"
    original = f"{HAS}\na@example.org,x\nb@example.org,Zoë\n".encode("cp1252")
    export.write_bytes(original)
    done = merge([export])
    assert stripped(done.files["merged"], "cp1252", ",", 2) == original
    assert done.files["merged"].decode("cp1252").count('Danke, ""Zoë"";') == 2


def test_an_encoding_with_states_is_refused(merge: Merging, tmp_path: Path) -> None:
    """Nothing can be put between bytes whose meaning depends on those before."""
    export = tmp_path / "spring.csv"
    export.write_bytes(f"{HAS}\na@example.org,x\n".encode("iso2022_jp"))
    with pytest.raises(InputError, match="nothing can be merged into text in ISO2022_JP; export it again in UTF-8"):
        merge([export], encoding="iso2022_jp")
    assert [path.name for path in tmp_path.iterdir()] == ["spring.csv"]


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_of_json(merge: Merging, tmp_path: Path, codec: str) -> None:
    """Keys are appended to each object; blanks, order and broken lines stay as they are."""
    export = tmp_path / "spring.jsonl"
    lines = ['{ "email" : "a@example.org" , "n": 1.50 } ', "", "{broken", "[1]", '{"email":null}', '{"email":"}"}']
    export.write_bytes("\r\n".join(lines).encode(codec))
    done = merge([export], mapping={"customer_email": "email"})
    merged = done.files["merged"].decode(codec).split("\r\n")
    assert merged[0].startswith('{ "email" : "a@example.org" , "n": 1.50 ,"referral_link":"https://x.test/a@')
    assert merged[0].endswith("} ")
    assert json.loads(merged[0])["share_action.n"] == 1
    assert merged[1:4] == lines[1:4]
    assert json.loads(merged[4])["referral_error_code"] == "no_customer"
    assert json.loads(merged[5])["email"] == "}"
    assert done.merged.remarks.as_it_was == {"unreadable": 2}


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig"])
def test_an_array_of_json(merge: Merging, tmp_path: Path, codec: str) -> None:
    """Objects of an array are found wherever its lines break, also behind letters of several bytes."""
    export = tmp_path / "spring.json"
    text = '[\n{"email":"a@example.org","s":"Zoë, ]}\\" 日本"} , {\n "email": "b@example.org"\n}\n,{},\n {bad} ]\n'
    export.write_bytes(text.encode(codec))
    done = merge([export], mapping={"customer_email": "email"})
    merged = done.files["merged"].decode(codec)
    rows = json.loads(merged.replace("{bad}", "{}"))
    assert [row.get("referral_outcome") for row in rows] == ["sent", "sent", "left_out", None]
    assert rows[0]["s"] == 'Zoë, ]}" 日本'
    assert rows[1]["referral_link"] == "https://x.test/b@example.org"
    assert merged.endswith(" {bad} ]\n")


def test_a_workbook_becomes_csv(merge: Merging, tmp_path: Path) -> None:
    """Its cells come as a person sees them, behind a byte order mark; a text that would be a formula is guarded."""
    book = Workbook()
    assert book.active is not None
    for row in (["customer_email", "note"], ["a@example.org", "=1+1"], ["b@example.org", "+49 170 123"], ["x", 1.5]):
        book.active.append(row)
    book.active["B2"].data_type = "s"
    book.save(tmp_path / "spring.xlsx")
    data = merge([tmp_path / "spring.xlsx"]).files["merged"]
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert rows[0] == ["customer_email", "note", *NAMES]
    assert rows[1][:3] == ["a@example.org", "'=1+1", "https://x.test/a@example.org"]
    assert rows[2][1] == "+49 170 123"
    assert rows[3][4:6] == ["left_out", "no_customer"]


def test_several_exports_come_into_a_folder(merge: Merging, tmp_path: Path) -> None:
    """Members keep their own names, which never lead out of the folder; equal ones are numbered."""
    data = f"{HAS}\n%s@example.org,x\n"
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for number, name in enumerate(["../../up.csv", "a/list.csv", "b/LIST.csv"]):
            archive.writestr(name, data % f"p{number}")
    (tmp_path / "list.csv.gz").write_bytes(gzip.compress((data % "z").encode()))
    done = merge([tmp_path / "all.zip", tmp_path / "list.csv.gz"], out="folder")
    assert sorted(done.files) == ["LIST-2.csv", "list-3.csv", "list.csv", "up.csv"]
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == sorted(done.files)
    assert b"p2@example.org,x,https://x.test/p2@" in done.files["LIST-2.csv"]
    assert b"z@example.org,x,https://x.test/z@" in done.files["list-3.csv"]


def test_other_options_than_then_are_refused(merge: Merging, tmp_path: Path) -> None:
    """If the rows are read otherwise than when they were sent, nothing is written, and what differs is told."""
    export = tmp_path / "spring.csv"
    export.write_text(f"{HAS}\na@example.org,1\nb@example.org,2\n")
    others = iter("12")

    def answer(job: Job) -> dict[str, object]:
        return {**(answered(job) or {}), "job_id": next(others) * 32, "shop": "other", "customer": {"shopid": "1"}}

    told = "0 of 2 jobs find one of the 2 results of campaign 'spring', .* of the shop 'other', the rows 'acme'; .* by"
    with pytest.raises(InputError, match=f"{told} 'shopid', the rows 'email'"):
        merge([export], answer)
    assert [path.name for path in tmp_path.iterdir()] == ["spring.csv"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("spring.csv", f"{HAS},Referral_Link\na@example.org,1,x\n"),
        ("spring.jsonl", '{"customer_email":"a@example.org"}\n{"customer_email":"b@example.org","referral_link":1}\n'),
    ],
)
def test_a_merged_export_is_not_merged_again(merge: Merging, tmp_path: Path, name: str, text: str) -> None:
    """A column that is there already would be there twice."""
    export = tmp_path / name
    export.write_text(text)
    with pytest.raises(UsageError, match="has a column referral_link already"):
        merge([export])
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("replaced", [True, False])
def test_an_export_that_changes_meanwhile(merge: Merging, tmp_path: Path, replaced: bool) -> None:
    """Its bytes are read apart from its rows: in another order of people, each would get another's link."""
    export, other = tmp_path / "spring.csv", tmp_path / "other.csv"
    people = [f"p{number}@example.org,n\n" for number in range(4)]
    export.write_text(f"customer_email,note\n{''.join(people)}")
    other.write_text(f"customer_email,note\n{''.join(reversed(people))}")
    amid = (lambda: other.replace(export)) if replaced else export.touch
    with pytest.raises(InputError, match=r"spring\.csv: changed while it was read"):
        merge([export], amid=amid)
    assert not (tmp_path / "merged").exists()
