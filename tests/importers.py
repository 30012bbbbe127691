"""What the tools' importers take, as the project's notes on them state it: reads upload files back as strictly as they
might. Written apart from the writers, and knows nothing of them."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

Line = dict[str, str]


@dataclass(frozen=True)
class Importer:
    """The rules of one tool: identifiers that a file may begin with, and its bounds; `text` in bytes or characters."""

    identifiers: Sequence[str]
    megabytes: int
    delimiter: str = ","
    rows: int | None = None
    columns: int | None = None
    text_bytes: int | None = None
    text_characters: int | None = None
    headers: str = r"[^\s].*"

    def read(self, path: Path) -> list[Line]:
        """The lines of a file.

        Raises:
          AssertionError: the tool would refuse it, cut or clear something, or take a cell for another.
        """
        raw = path.read_bytes()
        assert len(raw) <= self.megabytes * 1_000_000, "too large"
        assert not raw.startswith(b"\xef\xbb\xbf"), "the mark becomes a part of the identifier's header"
        assert raw.endswith(b"\n"), "the last line is torn"
        table = list(csv.reader(io.StringIO(raw.decode("utf-8"), newline=""), delimiter=self.delimiter, strict=True))
        header, rows = table[0], table[1:]
        assert header[0] in self.identifiers, f"{header[0]} is no identifier"
        assert len({name.casefold() for name in header}) == len(header), "two columns of one name"
        assert not set(header[1:]) & set(self.identifiers), "two kinds of identifiers in one file"
        assert self.columns is None or len(header) <= self.columns, "too many columns"
        assert all(re.fullmatch(self.headers, name) for name in header), "a header that it can't match"
        assert rows, "a file without a row"
        assert self.rows is None or len(rows) + 1 <= self.rows, "too many rows"
        seen = set()
        for row in rows:
            assert len(row) == len(header), "a row of another width"
            assert all(cell.strip() == cell and cell for cell in row), "a blank cell, which may clear a field"
            assert not any(cell.startswith("'") for cell in row), "an apostrophe, which would be imported"
            assert not re.fullmatch(r"[\d.,]+[eE]\+?\d+", row[0]), "an id that a spreadsheet shortened"
            key = row[0].casefold() if "@" in row[0] else row[0]
            assert key not in seen, "an identifier twice"
            seen.add(key)
            for cell in row[1:]:
                assert self.text_bytes is None or len(cell.encode()) <= self.text_bytes, "would be cut"
                assert self.text_characters is None or len(cell) <= self.text_characters, "would be refused"
        return [dict(zip(header, row, strict=True)) for row in rows]


IMPORTERS = {
    "klaviyo": Importer(["Email", "Klaviyo ID", "Phone Number", "External ID"], 50),
    "mailchimp": Importer(["Email Address"], 200, text_bytes=255),
    "shopify": Importer(["ID", "Email"], 1, headers=r"ID|Email|Command|Metafield: \w+\.\w+( \[\w+\])?"),
    "hubspot": Importer(["Email", "Record ID"], 20, rows=1_048_576, columns=999),
    "braze": Importer(["external_id", "braze_id", "email"], 500, text_characters=255),
    "brevo": Importer(["EMAIL"], 250, delimiter=";", headers=r"[A-Z][A-Z0-9_]*"),
    "omnisend": Importer(["email"], 100, columns=200),
}
"""By tool."""


def parts_of(out: Path) -> list[Path]:
    """The files of an upload, in their order: `out` itself, or its numbered parts."""
    numbered = {
        int(found[1]): path
        for path in out.parent.iterdir()
        if (found := re.fullmatch(rf"{re.escape(out.stem)}-(\d+)\.csv", path.name))
    }
    assert sorted(numbered) == list(range(1, len(numbered) + 1)), "a part is missing"
    assert out.exists() != bool(numbered), "either the file or its parts"
    return [numbered[number] for number in sorted(numbered)] or [out]
