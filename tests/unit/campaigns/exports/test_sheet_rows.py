"""Where a spreadsheet shows the rows of a CSV file."""

from pathlib import Path

import pytest

from worker.campaigns.containers.plain import PlainFile
from worker.campaigns.dedup import JobIndex
from worker.campaigns.exports.sheet_rows import SheetRows
from worker.campaigns.importer import Importer, Reject
from worker.campaigns.options import ImportOptions


def test_lines_of_one_row_are_one_row() -> None:
    """A row of three lines makes all later ones two less; its own lines are in it."""
    rows = SheetRows()
    rows.joined(2, 2)
    rows.joined(7, 1)
    assert [rows.of(line) for line in range(1, 11)] == [1, 2, 2, 2, 3, 4, 5, 5, 6, 7]
    assert [rows.where(line) for line in (1, 9)] == ["line 1", "line 9 = row 6"]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("customer_email,note\nx,\ny,\n", [(2, 2), (3, 3)]),
        ('customer_email,note\n"x","a\nb\nc"\n\ny,\n', [(2, 2), (6, 4)]),
        ("sep=;\ncustomer_email;note\nx;\n", [(3, 2)]),
        ('\nsep=;\ncustomer_email;"no\nte"\nx;\n', [(5, 3)]),
        ('customer_email,note\n"a@example.com","1\r\n2"\ny,\n"z"""",\n', [(4, 3), (5, 4)]),
    ],
    ids=["plain", "a note and a blank line", "sep=", "header of two lines", "after a job"],
)
def test_a_reject_has_both_numbers(tmp_path: Path, text: str, places: list[tuple[int, int]]) -> None:
    """The line of the file, and the row of a spreadsheet: blank lines count, the line `sep=` doesn't."""
    (tmp_path / "a.csv").write_bytes(text.encode())
    rejects: list[Reject] = []
    with JobIndex() as index:
        importer = Importer(
            [PlainFile(tmp_path / "a.csv")],
            ImportOptions(shop="acme", campaign="spring", channel="whatsapp"),
            index=index,
            published_at=None,
            allowed_shops=None,
            on_reject=rejects.append,
            keep_rejects=False,
        )
        list(importer)
    assert [(reject.line, reject.row) for reject in rejects] == places
