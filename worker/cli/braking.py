"""The brake of a campaign that is published: which one, and when it is armed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from worker.cli import console
from worker.errors import StoreError, UsageError

if TYPE_CHECKING:
    from worker.model.campaign_orders import Brake
    from worker.model.orders import Origin
    from worker.settings import Settings

USUAL = "50%/200"

ABOVE = 1_000
"""Jobs from which on a campaign has the usual brake: a wrong list of a few hundred is over before anybody looks."""

SMALLEST_WINDOW = 10

_BRAKE = re.compile(r"(\d{1,3})\s?%\s?/\s?(\d{1,5})")


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
    """Arms the brake before the first job for which it counts: with --brake before any, else before the 1,001st."""

    def __init__(self, loaded: Settings, campaign: str, given: Origin, *, brake: str | None, no_brake: bool) -> None:
        """``brake`` is the option's text, None where it is not given.

        Raises:
          UsageError: the options contradict each other, or ``brake`` names none.
        """
        from worker.cli.campaign_lookup import named

        if brake is not None and no_brake:
            raise UsageError("--no-brake: can't be combined with --brake; keep one of them")
        self._loaded = loaded
        self._campaign = named(campaign)
        self._given = given
        self._asked = brake is not None
        self._brake = brake_of(brake or USUAL)
        self._left = not no_brake and (self._asked or loaded.redis_url is not None)

    def before(self, number: int) -> None:
        """The job of this number is about to be published.

        Raises:
          StoreError: the brake that was asked for could not be armed, so that nothing was published.
          ConfigurationError: no store is configured in which to arm it.
        """
        if self._left and (self._asked or number > ABOVE):
            self._left = False
            self._arm()

    def _arm(self) -> None:
        from worker.cli.store import shared_store
        from worker.model.controls import EVERY_SHOP

        detail = f"brake {self._brake}"
        try:
            with shared_store(self._loaded, "publish --brake") as store:
                store.publish_campaign(
                    self._campaign, EVERY_SHOP, self._given, rest=None, brake=self._brake, detail=detail
                )
        except StoreError as error:
            if self._asked:
                raise
            # As for everything that only informs: the campaign goes on without it.
            console.say(f"the campaign has no brake, since the store could not be told: {error}")
