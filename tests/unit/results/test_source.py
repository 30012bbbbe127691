"""Results from files: each job once, in bounded memory, and a line that names the row where a file is wrong."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from tests.unit.making import make_result
from worker.errors import InputError, ReferralError, UsageError
from worker.model.job import Customer
from worker.results.file import Format, ResultsFile
from worker.results.rows import LAYOUTS, header, row
from worker.results.source import FileSource
from worker.results.wanted import Wanted

FORMATS: tuple[Format, ...] = ("csv", "jsonl")


@pytest.fixture(params=FORMATS)
def form(request: pytest.FixtureRequest) -> Format:
    """Either format."""
    chosen: Format = request.param
    return chosen


@pytest.fixture
def notes() -> list[str]:
    """What the source told a person."""
    return []


def written(path: Path, results: list[dict[str, Any]], form: Format = "csv") -> Path:
    """A results file as `collect` writes it."""
    file = ResultsFile(path, form)
    list(file.resume())
    for result in results:
        file.add(result)
    file.close()
    return path


def outcomes(source: FileSource, **only: str) -> list[tuple[int, str]]:
    """Line and outcome of each result."""
    return [(result["line"], result["outcome"]) for result in source.results(**only)]


def test_results_come_back(tmp_path: Path, form: Format, notes: list[str]) -> None:
    """What was written is read, as often as it is asked for, and each again by its place."""
    results = [make_result(number, message="two\nlines") for number in (1, 2, 3)]
    source = FileSource([written(tmp_path / "r", results, form)], notes.append)
    assert list(source.results()) == list(source.results()) == results
    assert [source.at(place) for place, _ in source.located()] == results
    assert notes == []
    source.close()
    source.close()


SENT, FAILED, EXPIRED, CANCELLED = ({"outcome": name} for name in ("sent", "failed", "expired", "cancelled"))


@pytest.mark.parametrize(
    ("first", "second", "counts"),
    [
        ([SENT], [SENT], "sent"),
        ([EXPIRED, SENT], [], "sent"),
        ([SENT, EXPIRED], [], "sent"),
        ([CANCELLED], [FAILED], "failed"),
        ([FAILED], [CANCELLED], "failed"),
        ([EXPIRED], [CANCELLED], "expired"),
    ],
)
def test_each_job_counts_once(
    tmp_path: Path, notes: list[str], first: list[dict[str, str]], second: list[dict[str, str]], counts: str
) -> None:
    """A final result supersedes an end without a call, in whatever order and file they stand."""
    paths = [
        written(tmp_path / f"{number}", [make_result(1, **fields) for fields in results], form)
        for number, (results, form) in enumerate([(first, FORMATS[0]), (second, FORMATS[1])])
    ]
    assert outcomes(FileSource([*paths, paths[0]], notes.append)) == [(1, counts)]


def test_each_run_is_a_job(tmp_path: Path, notes: list[str]) -> None:
    """A replay doesn't hide the run before it."""
    path = written(tmp_path / "r", [make_result(1, "failed"), make_result(1, "sent", run=1)])
    assert outcomes(FileSource([path], notes.append)) == [(1, "failed"), (1, "sent")]


def test_of_one_campaign_and_shop(tmp_path: Path, notes: list[str]) -> None:
    """Both narrow what is read."""
    results = [
        make_result(number, campaign=campaign, shop=shop)
        for number, (campaign, shop) in enumerate([("spring", "acme"), ("spring", "zenith"), ("fall", "acme")])
    ]
    source = FileSource([written(tmp_path / "r", results)], notes.append)
    assert outcomes(source, campaign=" spring", shop="acme") == [(0, "sent")]
    assert outcomes(source, shop="acme") == [(0, "sent"), (2, "sent")]


def test_results_are_found(tmp_path: Path, form: Format, notes: list[str]) -> None:
    """Over blocks of the file, whatever lies between."""
    results = [make_result(number, message="x" * 30_000) for number in range(100)]
    results[50] = make_result(50, customer=Customer(email="Bea@example.com"))
    path = written(tmp_path / "r", results, form)
    source = FileSource([path, path], notes.append)
    assert list(source.find(Wanted.parse("bea@EXAMPLE.com"))) == [results[50]]
    assert list(source.find(Wanted.parse("https://shop.example.com/r/99"))) == [results[99]]
    assert list(source.find(Wanted.parse("nobody@example.com"))) == []


def test_a_torn_row_is_noted(tmp_path: Path, form: Format, notes: list[str]) -> None:
    """A crash, or a command that still writes, leaves one. Whoever reads goes on with the rows before it."""
    path = written(tmp_path / "r", [make_result(1, row=1001), make_result(2, row=1002)], form)
    whole = path.read_bytes()
    for cut in range(2, 200, 7):
        path.write_bytes(whole[:-cut])
        notes.clear()
        source = FileSource([path], notes.append)
        assert outcomes(source) == outcomes(source) == [(1, "sent")]
        assert notes == [f"{path}: the last row is cut off and doesn't count, as while another command writes it"]
    path.write_bytes(whole[:-1])
    assert outcomes(FileSource([path], notes.append)) == [(1, "sent"), (2, "sent")]


def test_a_row_that_is_no_result_is_named(tmp_path: Path, form: Format, notes: list[str]) -> None:
    """With its file and its number, counting the header; nothing after it is read."""
    path = written(tmp_path / "r", [make_result(1), make_result(2)], form)
    with path.open("a") as file:
        file.write("nonsense\n")
    number = 4 if form == "csv" else 3
    with pytest.raises(InputError, match=f"^{path}: row {number} is not a result: it "):
        outcomes(FileSource([path], notes.append))


def test_what_an_editor_does_to_line_ends(tmp_path: Path, form: Format, notes: list[str]) -> None:
    """A mark at the start, CR LF and an empty line at the end change no result."""
    path = written(tmp_path / "r", [make_result(1), make_result(2)], form)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    source = FileSource([path], notes.append)
    assert [source.at(place)["line"] for place, _ in source.located()] == [1, 2]


def test_files_of_two_versions(tmp_path: Path, notes: list[str]) -> None:
    """Stand beside each other; the earlier one doesn't tell a row."""
    result, columns = make_result(1, row=5), LAYOUTS[-1]
    before = tmp_path / "before.csv"
    before.write_text(header(columns) + row(result, columns))
    source = FileSource([before, written(tmp_path / "r", [make_result(2, row=6)])], notes.append)
    assert [(found["line"], found["row"]) for found in source.results()] == [(1, None), (2, 6)]
    assert [source.at(place)["line"] for place, _ in source.located()] == [1, 2]


@pytest.mark.parametrize("text", ["", header()[:20], header(), header(LAYOUTS[-1])[:-9], header(LAYOUTS[-1])])
def test_a_file_without_results(tmp_path: Path, notes: list[str], text: str) -> None:
    """A command may have been killed before its first row."""
    path = tmp_path / "r"
    path.write_text(text)
    assert outcomes(FileSource([path], notes.append)) == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"email,name\na@example.com,Ann\n", "is no results file of this version"),
        (gzip.compress(b"x", mtime=0), "is packed by gzip; unpack it first"),
        (b"PK\x03\x04xxxx", "is packed by zip; unpack it first"),
        (header().replace("outcome", "result").encode(), "is no results file of this version"),
        (f"\n{header()}".encode(), "is no results file of this version"),
        (b"line\n2\n", "is no results file of this version"),
    ],
)
def test_what_is_no_results_file(tmp_path: Path, notes: list[str], content: bytes, why: str) -> None:
    """It is refused before anything is read of it, and the files beside it are closed."""
    good, path = written(tmp_path / "good", [make_result()]), tmp_path / "r"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=why):
        FileSource([good, path], notes.append)


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_can_not_be_read(tmp_path: Path, notes: list[str], name: str) -> None:
    """One line names it."""
    with pytest.raises(ReferralError, match=str(tmp_path)):
        FileSource([tmp_path / name], notes.append)


def test_a_pipe_is_not_waited_for(tmp_path: Path, notes: list[str]) -> None:
    """What can be read only once is refused."""
    import os

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ReferralError, match="pipe: can be read only once; save it to a file first"):
        FileSource([tmp_path / "pipe"], notes.append)


def test_a_row_without_end(tmp_path: Path, notes: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused once it is longer than any result, and not read into memory whole."""
    path = written(tmp_path / "r", [make_result()])
    with path.open("ab") as file:
        file.truncate(path.stat().st_size + 100 * 1024 * 1024)
    with pytest.raises(InputError, match="row 3 is not a result: it is longer than any result"):
        outcomes(FileSource([path], notes.append))
