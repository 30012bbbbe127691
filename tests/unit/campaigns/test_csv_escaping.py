"""Cells of our CSV files: computed by no spreadsheet, steering no terminal, and given back as they were."""

import ast
import csv
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests import hostile
from worker.campaigns.csv_escaping import escape_cell, unescape_cells

BEGINNINGS = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r")
PIECES = st.sampled_from(
    [*BEGINNINGS, ";", "'", '"', " ", ",", "\n", "\\", "n", "a", "{", "}", "[", "]", "1", "\u202e"]
)


@given(st.one_of(st.text(st.characters()), st.lists(PIECES).map("".join)))
@example(hostile.TEXT)
@example("a;=1")
@example("a;' =1")
@example("'=1")
@example('{"a":";=1\\n"}')
@example('{"a": 1,\n"b": "\u202e"}')
@example('{"a\udc92": "\\uopid"}')
def test_any_cell_comes_back(cell: str) -> None:
    """Taking our marks away gives the cell; one that is JSON, the same JSON."""
    (back,) = unescape_cells([escape_cell(cell)])
    try:
        value = json.loads(cell) if cell.startswith(("{", "[")) else None
    except (ValueError, RecursionError):
        value = None
    assert back == cell if value is None else json.loads(back) == value
    assert list(hostile.raw(escape_cell(cell).encode(errors="surrogatepass"))) == []
    assert "\n" not in escape_cell(cell)


DOCUMENT = Path(__file__).parents[3] / "docs" / "personal-data.md"


@given(st.one_of(st.text(st.characters()), st.lists(PIECES).map("".join)))
@example(hostile.TEXT)
@example("a;' =1")
def test_the_documented_way_back(cell: str) -> None:
    """The lines of Python in docs/personal-data.md do the same without us."""
    _, code, _ = re.split(r"```(?:python)?\n", DOCUMENT.read_text().partition("To get a cell back")[2])[:3]
    names = {"ast": ast, "re": re, "cell": escape_cell(cell)}
    exec(code, names)
    assert names["cell"] == cell or cell.startswith(("{", "["))


@pytest.mark.parametrize("between", ["", " ", '"', "' "])
@pytest.mark.parametrize("sign", BEGINNINGS[:8])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_no_program_computes_a_cell(delimiter: str, sign: str, between: str) -> None:
    """Whether it splits the file at commas, semicolons or tabs, no piece begins like a formula."""
    texts = [f"{sign}1+1", f"a;{between}{sign}1+1", f"a;;{between}{sign}cmd", json.dumps({"x": f"a;{between}{sign}1"})]
    file = io.StringIO()
    csv.writer(file).writerow(map(escape_cell, texts))
    pieces = [piece for row in csv.reader(io.StringIO(file.getvalue()), delimiter=delimiter) for piece in row]
    assert len(pieces) >= 1
    assert not [piece for piece in pieces if piece.lstrip(" \"'").startswith(BEGINNINGS) and not guarded(piece)]


def guarded(piece: str) -> bool:
    """Whether an apostrophe comes before what would be computed."""
    return piece.startswith("'")


@pytest.mark.parametrize("cell", ["a;b", "DOMAIN\\user", "https://x.example/?a=1;b=2", "ünï", "a=b", '{"a":1}', "[1]"])
def test_other_cells_stay(cell: str) -> None:
    """Only what somebody could be harmed by changes."""
    assert escape_cell(cell) == cell
