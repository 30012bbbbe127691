"""Results files: their rows, and what is left of them after a crash, a full disk or an editor."""

import csv
import io
import json
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from worker.campaigns.csv_escaping import unescape_cells
from worker.errors import InputError, UsageError
from worker.results.file import Format, ResultsFile
from worker.results.rows import COLUMNS, LAYOUTS, header, row
from worker.text.bounds import RESULT as LARGEST

RESULT: dict[str, Any] = {
    "job_id": f"{1:032x}",
    "campaign": "spring",
    "shop": "acme",
    "run": 0,
    "line": 7,
    "row": 2,
    "customer": {"email": "ann@example.com", "shopid": "7"},
    "channel": "whatsapp",
    "outcome": "sent",
    "code": None,
    "message": "Thanks, Ann",
    "referral": {"referral_bhid": "rf1", "link": "https://shop.example.com/r/1"},
    "share_action": {"type": "open_url", "url": "https://wa.me/?text=x"},
    "attempts": 1,
    "latency_seconds": 0.25,
}


def result_of(number: int, **fields: Any) -> dict[str, Any]:
    """A result as its parsed JSON, as it comes from the journal or from RabbitMQ."""
    return {**RESULT, "job_id": f"{number:032x}", **fields}


def rows_of(text: str) -> list[dict[str, str]]:
    """A CSV as any reader sees it."""
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def opened(path: Path, form: Format = "csv") -> tuple[ResultsFile, list[str]]:
    """A file that is continued, and the job ids that it held."""
    file = ResultsFile(path, form)
    return file, [job_id for job_id, _ in file.resume()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.csv"


def test_a_row_shows_what_a_mailing_needs() -> None:
    """The customer's ids and the link stand in columns of their own, the vendor's objects beside them as JSON."""
    (cells,) = rows_of(header() + row(RESULT))
    assert tuple(cells) == COLUMNS
    assert (cells["customer_email"], cells["customer_shopid"], cells["customer_bhid"]) == ("ann@example.com", "7", "")
    assert (cells["outcome"], cells["code"], cells["attempts"]) == ("sent", "", "1")
    assert (cells["line"], cells["row"]) == ("7", "2")
    assert cells["link"] == "https://shop.example.com/r/1"
    assert json.loads(cells["share_action"]) == RESULT["share_action"]
    assert json.loads(cells["referral"]) == RESULT["referral"]


@pytest.mark.parametrize("message", ['say "hi", then\nleave', "a lone\rreturn", "ends\r\n", "é😀\u2028", " blank "])
def test_any_text_comes_back_from_the_csv(message: str) -> None:
    """Quotes, line ends of every kind and spaces are the same after a reader has parsed them, and a row is a line."""
    text = row({**RESULT, "message": message})
    assert len(text.splitlines()) == 1
    (cells,) = rows_of(header() + text)
    assert unescape_cells([cells["message"]]) == [message]
    assert cells["job_id"] == RESULT["job_id"]


FORMULAS = ["=1+1", "+4915112345", "-2", "@SUM(A1)", "＝1", "'quoted", "''", "'=1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula(text: str) -> None:
    """What a spreadsheet would compute gets an apostrophe in front, and taking one away gives the text back."""
    result = {**RESULT, "message": text, "reference": text, "customer": {"shopid": text}, "referral": {"link": text}}
    (cells,) = rows_of(header() + row(result))
    for name in ("message", "reference", "customer_shopid", "link"):
        assert cells[name] == f"'{text}"
    assert unescape_cells(cells.values()).count(text) == 4


def test_json_lines_are_verbatim(path: Path) -> None:
    """The other format is for programs, which compute nothing."""
    file, _ = opened(path, "jsonl")
    file.add(result_of(1, message="=1+1"))
    file.close()
    assert json.loads(path.read_text())["message"] == "=1+1"


def test_a_lone_surrogate_does_not_end_a_run(path: Path) -> None:
    """JSON can hold half a character, which UTF-8 can't; it is written as an escape."""
    file, _ = opened(path)
    file.add(result_of(1, message="\ud83d"))
    file.close()
    assert rows_of(path.read_text())[0]["message"] == r"\ud83d"


def test_a_result_with_another_customer_has_empty_cells() -> None:
    """What is no object has no ids and no link."""
    assert row({"customer": 5, "referral": "none"}) == row({"referral": "none"})


def test_a_result_without_customer_or_referral_has_empty_cells() -> None:
    """What is absent, or is no object, leaves its cells empty."""
    (cells,) = rows_of(header() + row({**RESULT, "customer": None, "referral": None, "share_action": None}))
    assert (cells["customer_email"], cells["link"], cells["referral"], cells["share_action"]) == ("", "", "", "")


def test_rebuild_replaces_what_was_there(path: Path) -> None:
    """A rebuilt file holds the given results only, and rows may be added to it."""
    path.write_text("something else")
    file = ResultsFile(path)
    assert file.rebuild([result_of(1)]) == 1
    file.add(result_of(2))
    file.close()
    assert [cells["job_id"] for cells in rows_of(path.read_text())] == [f"{number:032x}" for number in (1, 2)]
    assert list(path.parent.iterdir()) == [path]


def test_readers_see_rows_after_a_flush(path: Path) -> None:
    """A person may look at the file during the run."""
    file = ResultsFile(path)
    file.rebuild([])
    file.add(result_of(1))
    file.flush()
    assert len(rows_of(path.read_text())) == 1
    file.close()


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_resume_goes_on_where_the_file_ends(path: Path, form: Format) -> None:
    """The ids that the file holds are yielded, and new rows are appended."""
    for number in (1, 2):
        file, known = opened(path, form)
        assert known == [f"{earlier:032x}" for earlier in range(1, number)]
        file.add(result_of(number, message="two\nlines"))
        file.close()
    file, known = opened(path, form)
    file.close()
    assert known == [f"{number:032x}" for number in (1, 2)]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_resume_tells_outcomes(path: Path, form: Format) -> None:
    """Each row's outcome is yielded with its id, in the file's order."""
    file, _ = opened(path, form)
    for outcome in ("expired", "sent"):
        file.add(result_of(1, outcome=outcome))
    file.close()
    file = ResultsFile(path, form)
    assert list(file.resume()) == [(f"{1:032x}", "expired"), (f"{1:032x}", "sent")]
    file.close()


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_cut_at_any_byte_is_gone_on_with(path: Path, form: Format) -> None:
    """Wherever a crash cuts the file, the whole rows before it stay and the next row follows them."""
    file, _ = opened(path, form)
    for number in (1, 2):
        file.add(result_of(number, message="two\nlines"))
    file.close()
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        file, known = opened(path, form)
        file.add(result_of(3))
        file.close()
        assert known == [f"{number:032x}" for number in (1, 2)][: len(known)]
        file, after = opened(path, form)
        file.close()
        assert after == [*known, f"{3:032x}"]
    assert len(known) == 1


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("line", ["a,b", "", "{}", '{"job_id": "x"}', '{"job_id": 7}', "[" * 1000, "," * (20)])
def test_an_edited_row_is_refused_and_nothing_is_cut(path: Path, form: Format, line: str) -> None:
    """What is no row in the middle of the file was somebody's doing; cutting there would lose what follows."""
    file, _ = opened(path, form)
    file.add(result_of(1))
    file.close()
    content = path.read_text()
    path.write_text(f"{content}{line}\n{content.splitlines()[-1]}\n")
    edited = path.read_bytes()
    with pytest.raises(UsageError, match="is not a result; fix it or choose another --out"):
        opened(path, form)
    assert path.read_bytes() == edited


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("jsonl", "what I had to do today\n"),
        ("jsonl", "what I had to do today"),
        ("jsonl", '{"job_id":"x"}\n'),
        ("csv", '"what I had\nto do today'),
        ("csv", f"{header()}{',' * 20}not an id\n"),
        ("csv", f'{header()}{"," * 20}"{1:032x}"x\n'),
        ("csv", f"{header()}notes of mine\n"),
    ],
)
def test_what_no_crash_leaves_is_refused_and_not_cut(path: Path, form: Format, content: str) -> None:
    """A file of another kind, or an edited last row, is no part of a row: cutting it off would lose it."""
    path.write_text(content)
    with pytest.raises(UsageError, match=r"is not a result; fix it|has other columns"):
        opened(path, form)
    assert path.read_text() == content


@pytest.mark.parametrize(
    ("form", "other", "told"),
    [
        ("csv", "jsonl", "holds results as CSV; leave out --format jsonl, or choose another --out"),
        ("jsonl", "csv", "holds results as lines of JSON; add --format jsonl, or choose another --out"),
    ],
)
def test_the_other_format_is_told(path: Path, form: Format, other: Format, told: str) -> None:
    """A results file of the other format is refused with the option that continues it, and stays unchanged."""
    file, _ = opened(path, form)
    file.add(result_of(1))
    file.close()
    held = path.read_bytes()
    with pytest.raises(UsageError, match=told):
        opened(path, other)
    assert path.read_bytes() == held


def test_a_file_of_an_earlier_version_is_gone_on_with(path: Path) -> None:
    """In its own columns, so that whoever reads it finds the same in every row."""
    columns = LAYOUTS[-1]
    path.write_text(header(columns) + row({**RESULT, "job_id": f"{1:032x}"}, columns))
    file, known = opened(path)
    file.add(result_of(2, row=5))
    file.close()
    assert known == [f"{1:032x}"]
    assert [list(cells) for cells in rows_of(path.read_text())] == [list(columns)] * 2
    file, known = opened(path)
    file.close()
    assert known == [f"{number:032x}" for number in (1, 2)]


@pytest.mark.parametrize("columns", LAYOUTS)
def test_a_cut_header_becomes_a_whole_one(path: Path, columns: Sequence[str]) -> None:
    """Of whatever version it was, no row depends on it: the new rows stand under today's columns."""
    whole = header(columns)
    for length in range(len(whole)):
        path.write_text(whole[:length])
        file, known = opened(path)
        file.add(result_of(1, row=5))
        file.close()
        assert known == []
        (cells,) = rows_of(path.read_text())
        assert (tuple(cells), cells["row"]) == (COLUMNS, "5")


def test_a_row_of_another_version_is_refused(path: Path) -> None:
    """A row has as many cells as the header of its file, whichever version wrote that."""
    today, before = LAYOUTS[0], LAYOUTS[-1]
    for one, other in ((today, before), (before, today)):
        path.write_text(header(one) + row(RESULT, other))
        with pytest.raises(UsageError, match="row 2 is not a result; fix it"):
            opened(path)


def test_another_table_is_refused(path: Path) -> None:
    """A file with other columns is not written to."""
    path.write_text("email,channel\nann@example.com,sms\n")
    with pytest.raises(UsageError, match="has other columns than results of this version; choose another --out"):
        opened(path)
    assert path.read_text().startswith("email,channel\nann")


def test_a_cell_of_any_size_is_read_back(path: Path) -> None:
    """A referral may be larger than the 128 KiB at which the standard library stops."""
    file, _ = opened(path)
    file.add(result_of(1, referral={"text": "x" * 200_000}))
    file.close()
    file, known = opened(path)
    file.close()
    assert known == [f"{1:032x}"]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize(
    "more",
    [
        {"message": "\x7f" * (LARGEST.size - 2000)},
        {"referral": {"more": ["\x7f" * (LARGEST.size - 2000)]}},
        {"referral": {"more": ['"' * (LARGEST.size // 2 - 2000)]}},
    ],
)
def test_the_largest_result_is_gone_on_after(path: Path, form: Format, more: dict[str, Any]) -> None:
    """A result may be as large as any that is read, whatever the escapes of the file make of its characters."""
    result = result_of(1, **more)
    assert len(json.dumps(result, ensure_ascii=False)) < LARGEST.size
    file, _ = opened(path, form)
    file.add(result)
    file.close()
    file, known = opened(path, form)
    file.close()
    assert known == [f"{1:032x}"]


def test_two_writers_are_refused(path: Path) -> None:
    """A file that a command continues is locked against a second one."""
    file, _ = opened(path)
    with pytest.raises(UsageError, match="another command writes to it"):
        opened(path)
    file.close()
    opened(path)[0].close()


def test_a_full_disk_is_one_line_and_closes(path: Path) -> None:
    """A failed write is raised by add, flush or close, and the file is closed nevertheless."""
    file = ResultsFile(path)
    file.rebuild([])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, hard))
    try:
        file.add(result_of(1))
        for step in (file.flush, file.close):
            with pytest.raises(InputError, match="File too large; nothing is lost; fix that and run the same command"):
                step()
        file.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_folder_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    """Both ways to begin a file name the folder that is missing."""
    file = ResultsFile(tmp_path / "missing" / "results.csv")
    with pytest.raises(InputError, match=r"missing: there is no such folder for results\.csv"):
        file.rebuild([])
    with pytest.raises(InputError, match=r"missing: there is no such folder for results\.csv"):
        list(file.resume())
