"""Takes the appended columns off a merged export again, by no code of the package: a walk from quote to quote."""

from collections.abc import Iterator


def rows_of(text: str, delimiter: str) -> Iterator[tuple[list[str], str]]:
    """The raw cells of each row, and its line end: quotes open and close, and nothing else counts within them."""
    cells, cell, quoted, at = [], "", False, 0
    while at < len(text):
        sign = text[at]
        at += 1
        if sign == '"':
            quoted = not quoted
            cell += sign
        elif not quoted and sign == delimiter:
            cells.append(cell)
            cell = ""
        elif not quoted and sign in "\r\n":
            end = sign + ("\n" if sign == "\r" and text[at : at + 1] == "\n" else "")
            at += len(end) - 1
            yield [*cells, cell], end
            cells, cell = [], ""
        else:
            cell += sign
    if cell or cells:
        yield [*cells, cell], ""


def stripped(merged: bytes, codec: str, delimiter: str, width: int) -> bytes:
    """The bytes of the export that a merged one was made of, whose header has ``width`` columns."""
    text = merged.decode(codec, errors="surrogateescape")
    return "".join(delimiter.join(cells[:width]) + end for cells, end in rows_of(text, delimiter)).encode(
        codec, errors="surrogateescape"
    )


def rows(merged: bytes, codec: str, delimiter: str) -> list[list[str]]:
    """The cells of each row, without their quotes."""
    text = merged.decode(codec, errors="surrogateescape")
    return [
        [cell[1:-1].replace('""', '"') if cell.startswith('"') else cell for cell in cells]
        for cells, _ in rows_of(text, delimiter)
    ]


def appended(merged: bytes, codec: str, delimiter: str, width: int) -> list[list[str]]:
    """The cells behind the export's own, of each row that has any, without their quotes."""
    return [cells[width:] for cells in rows(merged, codec, delimiter) if len(cells) > width]
