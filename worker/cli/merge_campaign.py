"""The campaign whose results are put into its exports: how these are read, and what came back."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from worker.campaigns.containers.base import ExportFile
from worker.campaigns.dedup import JobIndex
from worker.campaigns.importer import Importer
from worker.cli import console, options
from worker.cli.meter import Meter
from worker.cli.settings import load
from worker.errors import ConfigurationError, InputError, UsageError
from worker.merging.returned import ReturnedResults
from worker.results.source import ResultSource
from worker.shops.file import listed_shops
from worker.text import quoting

_CAMPAIGNS_SHOWN = 5


@dataclass(frozen=True)
class Asked:
    """The options by which the exports were read when they were sent. Without campaign, shop or channel, those of the
    results are taken, if all results agree on them."""

    campaign: str | None
    shop: str | None
    channel: str | None
    mapping: list[str] | None
    consent: list[str] | None
    preset: str | None
    ignore_consent: bool
    encoding: str | None

    @property
    def anything(self) -> bool:
        """Whether any of them is given."""
        return any(value is not None and value is not False for value in vars(self).values())

    def require_campaign(self, place: str) -> None:
        """Check that it is named, as it must be where ``place`` may keep results of earlier campaigns.

        Raises:
          UsageError: it isn't.
        """
        # Before the first result of this one is there, the only one may be the last.
        if self.campaign is None:
            raise UsageError(
                f"--campaign: is missing; {place} may keep results of earlier campaigns, so name the one to merge"
            )

    def checked(self, files: Sequence[ExportFile], index: JobIndex) -> Importer:
        """What reads the exports, once options and headers are checked as far as they can be without results.

        Raises:
          UsageError, InputError: an export or an option can't be used, whatever the results will be.
        """
        # What the results will say is left open by values that any export can have.
        return self._importer(self._with("any", "any", "whatsapp"), files, index, None)

    def importer(self, files: Sequence[ExportFile], index: JobIndex, results: ReturnedResults) -> Importer:
        """Reads the exports as they were read then, after the same checks.

        Raises:
          UsageError, InputError: as :meth:`checked`; or the results are of several campaigns.
        """
        return self._importer(self._completed(results), files, index, results)

    def _importer(
        self, completed: "Asked", files: Sequence[ExportFile], index: JobIndex, results: ReturnedResults | None
    ) -> Importer:
        importer = completed._built(files, index, results)
        try:
            importer.check()
        except UsageError:
            if completed.channel == self.channel:
                raise
            # The channel was a guess, and the export may have a column that contradicts it.
            other = replace(completed, channel=None)._built(files, index, results)
            with suppress(UsageError):
                other.check()
                return other
            raise
        return importer

    def _built(self, files: Sequence[ExportFile], index: JobIndex, results: ReturnedResults | None) -> Importer:
        assert self.campaign is not None, "completed comes first"
        return Importer(
            files,
            options.import_options(
                shop=self.shop,
                campaign=self.campaign,
                channel=self.channel,
                mapping=self.mapping,
                consent=self.consent,
                preset=self.preset,
                ignore_consent=self.ignore_consent,
                encoding=self.encoding,
                limit=None,
                rejects=None,
                expires=None,
            ),
            index=index,
            published_at=None,
            allowed_shops=_allowed(results) if results is not None else None,
            keep_rejects=False,
        )

    def _completed(self, results: ReturnedResults) -> "Asked":
        """With what the results alone say; a wrong guess would find no result, and never another row's."""
        if self.campaign is None and len(results.campaigns) > 1:
            raise UsageError(f"the results are of several campaigns: {_few(list(results.campaigns))}; give --campaign")
        completed = self._with(_only(results.campaigns), _only(results.shops), _only(results.channels))
        taken = [f"{name} {value}" for name, value in vars(completed).items() if value != getattr(self, name)]
        if taken:
            console.note(f"taken from the results: {', '.join(taken)}")
        return completed

    def _with(self, campaign: str | None, shop: str | None, channel: str | None) -> "Asked":
        """With these where nothing is given."""
        return replace(
            self,
            campaign=campaign if self.campaign is None else self.campaign,
            shop=shop if self.shop is None else self.shop,
            channel=channel if self.channel is None else self.channel,
        )


@contextmanager
def opened_campaign(
    files: Sequence[ExportFile], source: ResultSource, asked: Asked
) -> Iterator[tuple[Importer, ReturnedResults]]:
    """What reads the exports as they were read when they were sent, and what came back. Shows the notes of reading.

    Raises:
      UsageError, InputError: as :meth:`Asked.importer`; or there are no results.
    """
    with ReturnedResults() as returned, JobIndex() as index:
        with Meter(None) as meter:
            returned.take(_shown(source.results(asked.campaign), meter))
        if not returned.jobs:
            raise _no_results(source, asked.campaign)
        importer = asked.importer(files, index, returned)
        shown = console.warn(importer)
        yield importer, returned
        console.warn(importer, shown)


def _shown(results: Any, meter: Meter) -> Any:
    for number, result in enumerate(results, start=1):
        if number % 1000 == 0:
            meter.show(number, 0.0, {})
        yield result


def _no_results(source: ResultSource, campaign: str | None) -> InputError:
    """Why there is nothing to merge; reads the results once more."""
    campaigns: dict[str, None] = {}
    for result in source.results():
        campaigns[result["campaign"]] = None
        if len(campaigns) > _CAMPAIGNS_SHOWN:
            break
    if not campaigns:
        return InputError("there are no results yet, so nothing was written")
    return InputError(
        f"there is no result of campaign {campaign}, so nothing was written; the results are of {_few(list(campaigns))}"
    )


def _few(names: Sequence[str]) -> str:
    more = " and more" if len(names) > _CAMPAIGNS_SHOWN else ""
    return f"{', '.join(map(quoting.word, names[:_CAMPAIGNS_SHOWN]))}{more}"


def _allowed(results: ReturnedResults) -> frozenset[str] | None:
    """The shops that rows may name, as it was when they were sent; None for any, if that isn't known any more."""
    shops = load().shops
    if not shops.exists() or len(results.shops) > 1:
        return None
    try:
        return frozenset(listed_shops(shops)) | frozenset(results.shops)
    except ConfigurationError:
        return None


def _only(counts: Counter[str]) -> str | None:
    return next(iter(counts)) if len(counts) == 1 else None
