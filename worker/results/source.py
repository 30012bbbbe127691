"""Where results are read from: results files, or whatever else keeps them."""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from worker.model.names import canonical
from worker.model.outcomes import UNCALLED
from worker.results.index import ResultIndex
from worker.results.reading import ResultsReader
from worker.results.wanted import Wanted

Place = int
"""Where a result is among the files of a :class:`FileSource`."""

_OFFSET_BITS = 48


class ResultSource(Protocol):
    """Results, each job once: of several results of a job, a final one counts, else the first.

    Each run of a job is a job of its own. A result is its parsed JSON, as docs/result.schema.json describes it; fields
    that are null may be missing. Results are streamed in no promised order, in bounded memory, and may be asked for
    several times. Every method may block.
    """

    def results(self, campaign: str | None = None, shop: str | None = None) -> Iterator[Mapping[str, Any]]:
        """The results of a campaign, of a shop, or all.

        Raises:
          ReferralError: they can't be read.
        """
        ...

    def find(self, what: Wanted) -> Iterator[Mapping[str, Any]]:
        """The results that match; raises as :meth:`results`."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class FileSource:
    """The results in results files. ``note`` is told what a person should know about them.

    Raises:
      InputError, UsageError: as :class:`~worker.results.reading.ResultsReader`.
    """

    def __init__(self, paths: Sequence[Path], note: Callable[[str], None]) -> None:
        self._readers: list[ResultsReader] = []
        try:
            for path in paths:
                self._readers.append(ResultsReader(path, note))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the files."""
        for reader in self._readers:
            reader.close()

    def results(self, campaign: str | None = None, shop: str | None = None) -> Iterator[Mapping[str, Any]]:
        """See :class:`ResultSource`; results without a call come last."""
        return (result for _, result in self.located(campaign, shop))

    def find(self, what: Wanted) -> Iterator[Mapping[str, Any]]:
        """See :class:`ResultSource`; rows that can't match are skipped unread."""
        rows = self._rows(what.needles())
        return (result for _, result in self._each_once((at, row) for at, row in rows if what.matches(row)))

    def located(self, campaign: str | None = None, shop: str | None = None) -> Iterator[tuple[Place, dict[str, Any]]]:
        """The results as :meth:`results` gives them, each after its place, at which :meth:`at` reads it again."""
        name = canonical(campaign)
        return self._each_once(
            (place, row)
            for place, row in self._rows()
            if (shop is None or row["shop"] == shop) and (name is None or canonical(row["campaign"]) == name)
        )

    def at(self, place: Place) -> dict[str, Any]:
        """The result at a place that :meth:`located` gave."""
        return self._readers[place >> _OFFSET_BITS].at(place & ((1 << _OFFSET_BITS) - 1))

    def _rows(self, holding: Sequence[bytes] = ()) -> Iterator[tuple[Place, dict[str, Any]]]:
        for number, reader in enumerate(self._readers):
            for offset, result in reader.rows(holding):
                yield number << _OFFSET_BITS | offset, result

    def _each_once(self, rows: Iterator[tuple[Place, dict[str, Any]]]) -> Iterator[tuple[Place, dict[str, Any]]]:
        # Results without a call are held back, by their places alone, until it is known that no final one follows.
        uncalled = array("q")
        with ResultIndex() as seen:
            for place, result in rows:
                sighting = seen.check(result["job_id"], result["outcome"])
                if result["outcome"] not in UNCALLED:
                    if sighting != "repeated":
                        yield place, result
                elif sighting == "new":
                    uncalled.append(place)
            for place in uncalled:
                result = self.at(place)
                if seen.promote(result["job_id"]):
                    yield place, result
