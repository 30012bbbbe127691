"""``--window``: hours of a campaign's own, beside those that its shop keeps; and which jobs wait for theirs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from worker.campaigns.channels import spelled
from worker.campaigns.options import ImportOptions
from worker.cli import console
from worker.cli.times import moment
from worker.clock import SystemClock
from worker.errors import UsageError
from worker.instants import rfc3339
from worker.model.job import Job
from worker.model.windows import EXAMPLE, LOOK_AHEAD, both, window_of
from worker.shops.config import ListedShop


def check_window(options: ImportOptions, shop: ListedShop | None) -> None:
    """Check the option, and say where it holds nothing back; ``shop`` is the one that the command names.

    Raises:
      UsageError: it can't be read, or the shop's own window is never open at the same time.
    """
    if options.window is None:
        return
    try:
        window_of(options.window)
    except ValueError as error:
        raise UsageError(f"--window: {error}") from None
    if shop is None:
        return
    now = SystemClock().now()
    window = both(shop.window, options.window)
    if window is not None and window.opens_at(now) >= now + LOOK_AHEAD:
        raise UsageError(
            f"--window: is never open together with the window of {shop.slug} ({shop.window}); give hours within that, "
            f'such as "{EXAMPLE}"'
        )
    channel = spelled(options.channel or "")
    if channel and not shop.keeps_hours(channel):
        console.note(
            f"--window: holds back no jobs of the channel {channel}, since window_channels of {shop.slug} in the shops "
            f"file are {', '.join(shop.window_channels) or 'none'}"
        )


class Hours:
    """The hours of the jobs that a command publishes, so that its summary can say when they go.

    Nothing is known of the hours of a shop that is not among ``shops``.
    """

    def __init__(self, shops: Mapping[str, ListedShop]) -> None:
        self._shops = shops
        # By what decides about a job's hours, of which a campaign has few: they are looked up once, at the end.
        self._jobs: Counter[tuple[str, str, str | None]] = Counter()

    def of(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """The jobs as they come, counted."""
        for job in jobs:
            self._jobs[job.shop, job.channel, job.window] += 1
            yield job

    def outside(self, at: int) -> tuple[int, int]:
        """How many of the jobs may not be called at ``at`` (microseconds, UTC), and when the first of them may be; 0
        and 0 where there are none.
        """
        waiting, opens_at = 0, 0
        for (slug, channel, own), jobs in self._jobs.items():
            shop = self._shops.get(slug)
            window = shop.hours_of(channel, own) if shop is not None else None
            if window is not None and not window.is_open(at):
                waiting += jobs
                opens_at = min(opens_at or window.opens_at(at), window.opens_at(at))
        return waiting, opens_at

    def rows(self, at: int) -> list[tuple[str, str]]:
        """What the summary says of them at ``at``."""
        waiting, opens_at = self.outside(at)
        return (
            [("  outside of their hours", f"{waiting:,} (which begin next at {moment(opens_at)})")] if waiting else []
        )

    def data(self, at: int) -> dict[str, Any]:
        """The same for ``--json``."""
        waiting, opens_at = self.outside(at)
        return {"outside_window": waiting, "window_opens_at": rfc3339(opens_at) if waiting else None}
