"""Which rows of an export a tool gets, each person once. No I/O beyond a temporary file."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from types import TracebackType
from typing import Final, NamedTuple, Self

from worker.campaigns.ranked_ids import RankedIds
from worker.errors import InputError
from worker.merging.uploads.tool import Tool, compared, spelled
from worker.text.visible import is_plain

_LINK = re.compile(r"https?://[^\s<>\"\\]+")

WHY_NOT: Final[Mapping[str, str]] = {
    "not sent": "it was left out, has no answer yet, or was not sent; the merged export says which",
    "no link": "the answer has no link",
    "bad link": "what stands in place of the link isn't one",
    "long link": "the link is too long for the tool's field, which would cut it",
    "no identifier": "the row has nothing by which the tool knows people",
    "shortened id": "a spreadsheet turned the id into a number, and digits may be lost: export again",
    "bad id": "the id can't be one",
    "unsupported address": "the tool takes no such address",
    "same person": "an earlier row of the same person is uploaded",
    "same link": "the export has this link already, and each value is billed",
}
"""Why a row is not uploaded, by what summaries call it."""


class UploadRow(NamedTuple):
    """What decides about a row.

    ``sent``: its result is `sent`. ``rehearsed``: its result comes from the emulator. ``identifiers`` are the cells of
    the tool's identifiers, in their order, empty where the export has none. ``current`` is the export's cell in a
    column with the name of the link's, empty if there is none.
    """

    sent: bool
    rehearsed: bool
    link: str | None
    identifiers: Sequence[str]
    current: str = ""


class Upload(NamedTuple):
    """A line of an upload file. ``kind`` is the index of the identifier among the tool's."""

    kind: int
    identifier: str
    link: str


class Selection:
    """Chooses the rows that a tool gets. To be closed, since it keeps the people whom it has met in a temporary file.

    ``left_out`` counts the others by why, in the words of :data:`WHY_NOT`.
    """

    def __init__(self, tool: Tool) -> None:
        self.left_out: Counter[str] = Counter()
        self._tool = tool
        self._seen = RankedIds()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _t: TracebackType | None
    ) -> None:
        self._seen.close()

    def uploads(self, rows: Iterable[UploadRow]) -> Iterator[Upload]:
        """The lines of the upload files, in the order of the rows; the first row of a person that has a link counts.

        Raises:
          InputError: a row was only rehearsed: its link leads nowhere, and a mailing would bring it to everybody.
        """
        for row in rows:
            if row.rehearsed:
                raise InputError(
                    f"these are results of a rehearsal, whose links lead nowhere, so nothing is written for "
                    f"{self._tool.name}; give the results of the real run"
                )
            chosen = self._judge(row)
            if isinstance(chosen, Upload):
                yield chosen
            else:
                self.left_out[chosen] += 1

    def _judge(self, row: UploadRow) -> Upload | str:
        """The row's line, or why it has none."""
        if not row.sent:
            return "not sent"
        if not row.link:
            return "no link"
        if not _LINK.fullmatch(row.link) or not is_plain(row.link):
            return "bad link"
        if self._tool.longest_link is not None and not self._tool.longest_link.fits(row.link):
            return "long link"
        chosen = self._identified(row)
        if not isinstance(chosen, Upload):
            return chosen
        if self._tool.billed and row.current == row.link:
            return "same link"
        identifier = self._tool.identifiers[chosen.kind]
        person = f"{chosen.kind} {compared(identifier, chosen.identifier)}".encode(errors="surrogatepass")
        if not self._seen.add(blake2b(person, digest_size=16).hexdigest(), 0):
            return "same person"
        return chosen

    def _identified(self, row: UploadRow) -> Upload | str:
        """The row's line by its first identifier; a damaged one isn't passed over: the whole row may be damaged."""
        assert row.link is not None
        for kind, (identifier, cell) in enumerate(zip(self._tool.identifiers, row.identifiers, strict=True)):
            if not cell:
                continue
            value = spelled(identifier, cell)
            problem = self._tool.bad_identifier(identifier, value) if value else "no_identifier"
            if problem is None:
                return Upload(kind, value, row.link)
            if problem != "no_identifier":
                return problem.replace("_", " ")
        return "no identifier"
