"""The brake of a campaign that is sent: which one, and when it is armed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from worker.cli import console
from worker.errors import StoreError, UsageError
from worker.model.controls import EVERY_SHOP

if TYPE_CHECKING:
    from worker.model.campaign_orders import Brake
    from worker.model.orders import Origin
    from worker.settings import Settings

J = TypeVar("J")

USUAL = "50%/200"

ABOVE = 1_000
"""Jobs from which on a campaign has the usual brake: a wrong list of a few hundred is over before anybody looks."""

SMALLEST_WINDOW = 10

_BRAKE = re.compile(r"(\d{1,3})\s?%\s?/\s?(\d{1,5})")


@dataclass(frozen=True, slots=True)
class ChosenBrake:
    """A brake, and whether it was asked for."""

    brake: Brake
    asked: bool

    @property
    def above(self) -> int:
        """It is armed where there are more jobs than so many."""
        return 0 if self.asked else ABOVE


def chosen_brake(brake: str | None, *, no_brake: bool) -> ChosenBrake | None:
    """What the two options say; ``brake`` is the text, None where it is not given.

    Raises:
      UsageError: the options contradict each other, or ``brake`` names none.
    """
    if brake is not None and no_brake:
        raise UsageError("--no-brake: can't be combined with --brake; keep one of them")
    return None if no_brake else ChosenBrake(brake_of(brake or USUAL), asked=brake is not None)


def brake_of(text: str) -> Brake:
    """The brake that ``text`` names, such as ``20%/200``.

    Raises:
      UsageError: it names none.
    """
    from worker.model.campaign_orders import Brake
    from worker.store.braking import LONGEST_WINDOW

    found = _BRAKE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"--brake {text}: is not a share and a number of results such as {USUAL}")
    share, window = int(found[1]), int(found[2])
    if not (1 <= share <= 99 and SMALLEST_WINDOW <= window <= LONGEST_WINDOW):
        raise UsageError(
            f"--brake {text}: the share must be from 1% to 99%, and the results from {SMALLEST_WINDOW} to "
            f"{LONGEST_WINDOW:,}"
        )
    return Brake(share, window)


class Braking:
    """Arms the brake in the workers' store, where there are enough jobs for it; takes one away for --no-brake.

    ``anew``: one that is the same counts from nothing too, since the results before are of jobs that are sent again.
    """

    def __init__(
        self,
        loaded: Settings,
        command: str,
        campaign: str,
        given: Origin,
        chosen: ChosenBrake | None,
        *,
        shop: str | None = None,
        anew: bool = False,
    ) -> None:
        from worker.cli.campaign_lookup import named

        self._loaded = loaded
        self._command = command
        self._campaign = named(campaign)
        self._given = given
        self._shop = shop or EVERY_SHOP
        self._anew = anew
        self.armed: Brake | None = None
        """What the campaign has since the jobs were begun; None where nothing was ordered."""
        self._takes_away = chosen is None and loaded.redis_url is not None
        self._chosen = chosen if chosen is not None and (chosen.asked or loaded.redis_url is not None) else None

    def ahead_of(self, jobs: Iterator[J]) -> Iterator[J]:
        """The jobs; where they are so many the brake is armed before the first, since every result is to count.

        Raises:
          StoreError: the brake that was asked for could not be armed, so that nothing was published.
          ConfigurationError: no store is configured in which to arm it.
        """
        if self._takes_away:
            self._disarm()
        first: list[J] = []
        if self._chosen is not None:
            first += islice(jobs, self._chosen.above + 1)
            if len(first) > self._chosen.above:
                self._arm(self._chosen)
        yield from first
        yield from jobs

    def rows(self) -> list[tuple[str, str]]:
        """For a summary: what stops the campaign; nothing where nothing was ordered."""
        brake = self.armed
        if brake is None:
            return []
        if not brake.trips:
            return [("brake", "none any more (--no-brake)")]
        of = f"{brake.share}% of a shop's last {brake.window:,} results"
        return [("brake", f"{brake} (the campaign stops there once more than {of} are rejected or failed)")]

    def data(self) -> dict[str, str | None]:
        """The same for ``--json``."""
        return {"brake": str(self.armed) if self.armed is not None else None}

    def _disarm(self) -> None:
        # Mostly there is none, and then nothing is ordered.
        from worker.cli.store import known_controls
        from worker.model.campaign_orders import NO_BRAKE

        controls = known_controls(self._loaded)
        armed = [
            order.brake
            for (name, of), order in (controls.campaigns.items() if controls is not None else ())
            if name == self._campaign and (of in {self._shop, EVERY_SHOP} or self._shop == EVERY_SHOP)
        ]
        if any(brake is not None and brake.trips for brake in armed):
            self._arm(ChosenBrake(NO_BRAKE, asked=True))

    def _arm(self, chosen: ChosenBrake) -> None:
        from worker.cli.store import shared_store

        detail = f"brake {chosen.brake}"
        try:
            with shared_store(self._loaded, f"{self._command} --brake") as store:
                controls = store.publish_campaign(
                    self._campaign,
                    self._shop,
                    self._given,
                    rest=None,
                    brake=chosen.brake,
                    detail=detail,
                    usual=not chosen.asked,
                    anew=self._anew,
                )
            # A usual one leaves a brake that the campaign has.
            order = controls.order_about(self._campaign, self._shop)
            self.armed = order.brake if order is not None else None
        except StoreError as error:
            if chosen.asked:
                raise
            # As for everything that only informs: the campaign goes on without it.
            console.say(f"the campaign has no brake, since the store could not be told: {error}")
