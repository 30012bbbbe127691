"""In which row of a spreadsheet a physical line of a CSV file is shown. Pure."""

from array import array
from bisect import bisect_left

from worker.text.line_names import line_name


class SheetRows:
    """Told of each row that takes several lines, in the order of the file; asked for the row of a line.

    A spreadsheet counts the header and blank lines as rows, and a cell of several lines as one. After a line whose
    quotes can't be read, nobody knows how a spreadsheet counts. Sixteen bytes for each row of several lines.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget what was told: the file is read from its start."""
        self._starts = array("Q")
        self._more = array("Q")

    def joined(self, line: int, more: int) -> None:
        """The row that begins in ``line`` takes so many ``more`` lines; line 0: the first lines are no rows."""
        self._starts.append(line)
        self._more.append(more + (self._more[-1] if self._more else 0))

    def of(self, line: int) -> int:
        """The row in which the line is; both are counted from 1."""
        before = bisect_left(self._starts, line)
        if not before:
            return line
        earlier = self._more[before - 2] if before > 1 else 0
        # Within the lines of a row it is that row.
        return max(line - self._more[before - 1], self._starts[before - 1] - earlier)

    def where(self, line: int) -> str:
        """Where a line is, for a person: its row too, if that is another number."""
        return line_name(line, self.of(line))
