"""What a row of an export is called. Pure."""


def line_name(line: int, row: int | None) -> str:
    """Its line in the file, and the row by which a spreadsheet shows it, if that is another number.

    A spreadsheet counts a note of several lines as one row.
    """
    return f"line {line:,}" if row is None or row == line else f"line {line:,} = row {row:,}"
