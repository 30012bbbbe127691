"""``--conversions``: asks the shops what came of a campaign's referrals."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal, Self

from worker.cli import console
from worker.cli.meter import Meter
from worker.clock import SystemClock
from worker.errors import UnavailableError, UsageError
from worker.refer2.customer_referrals import CustomerReferrals
from worker.refer2.history import history
from worker.refer2.shop_lists import ShopLists
from worker.refer2.tokens import TokenMaker
from worker.reporting.campaign_referrals import CampaignReferrals
from worker.reporting.conversions import Conversions, Step
from worker.settings import Settings
from worker.shops.config import ShopConfig
from worker.shops.file import read_shops

Source = Literal["ListHistory1", "CustomerReferrals2"]

TICK_CUSTOMERS = 20
"""Customers between two updates of the line of progress; each is a call."""


@dataclass
class Told:
    """What the shops said: how many acceptances have come to each step, in all and by day.

    ``sources`` names the call that told it, by shop; ``remarks`` say what was not told.
    """

    totals: dict[Step, int] = field(default_factory=dict)
    days: dict[date, dict[Step, int]] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


class ShopsAsked:
    """Takes a campaign's results, then asks the shops about its referrals. A context manager; for one thread."""

    def __init__(self, loaded: Settings) -> None:
        """
        Raises:
          ConfigurationError: the shops file or a credential in it can't be used.
        """
        self._file = loaded.shops
        self._shops = read_shops(loaded.shops, plaintext_hosts=loaded.plaintext_hosts)
        self._referrals = CampaignReferrals()
        self._conversions = Conversions(datetime.now(UTC))
        self._told = Told()
        clock = SystemClock()
        proxy = loaded.http_proxy.get_secret_value() if loaded.http_proxy else None
        token_of = TokenMaker(clock).token
        self._lists = ShopLists(
            token_of=token_of,
            clock=clock,
            connect_timeout_seconds=loaded.connect_timeout_seconds,
            http_proxy=proxy,
            ca_file=loaded.ca_file,
            say=console.say,
        )
        self._reads = CustomerReferrals(
            token_of=token_of,
            clock=clock,
            connect_timeout_seconds=loaded.connect_timeout_seconds,
            http_proxy=proxy,
            ca_file=loaded.ca_file,
            say=console.say,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lists.close()
        self._reads.close()
        self._referrals.close()
        self._conversions.close()

    def add(self, result: Mapping[str, Any]) -> None:
        """Take a result, given as its parsed JSON; raises as :meth:`CampaignReferrals.add`."""
        self._referrals.add(result)

    def ask(self) -> Told:
        """Ask each shop that made a referral. Blocks, for a call per customer where a shop's history tells nothing.

        Ctrl-C ends the asking, and what was told until then is returned.
        """
        slug = ""
        try:
            for slug, since in sorted(self._referrals.since.items()):
                if slug not in self._shops:
                    self._told.remarks.append(f"shop {slug}: is not in {self._file}, so it could not be asked")
                elif self._history_tells(self._shops[slug], since):
                    self._told.sources[slug] = "ListHistory1"
                    self._told.remarks.append(
                        f"shop {slug}: counted by its history, which lists rewards; who accepted and has no reward yet "
                        "is not in it"
                    )
                elif self._customers_tell(self._shops[slug]):
                    self._told.sources[slug] = "CustomerReferrals2"
        except KeyboardInterrupt:
            self._told.remarks.append(
                f"asking was interrupted at shop {slug}: its figures and later shops' are not whole"
            )
        if undated := self._conversions.undated():
            self._told.remarks.append(
                f"{undated:,} acceptance{'s' if undated > 1 else ''} came without a time that can be right, and "
                f"{'are' if undated > 1 else 'is'} not counted"
            )
        self._told.totals, self._told.days = self._conversions.totals(), self._conversions.by_day()
        return self._told

    def _history_tells(self, shop: ShopConfig, since: datetime) -> bool:
        """Whether the shop's history names a referral of the campaign; then its changes are counted."""
        named = 0
        try:
            for change in self._lists.read(shop, history(since)):
                named += self._count(change, shop.slug)
        except (UnavailableError, UsageError):
            # A shop need not serve it. Then each customer is asked. A history need not name the acceptances, so who is
            # in the part that came and is told of again would count twice.
            self._conversions.forget(shop.slug)
            return False
        return named > 0

    def _customers_tell(self, shop: ShopConfig) -> bool:
        """Whether every customer could be asked; a remark says which shop gave no answer, and after how many."""
        began = time.monotonic()
        total = self._referrals.count(shop.slug)
        asked = 0
        try:
            with Meter(total) as meter:
                for customer in self._referrals.customers(shop.slug):
                    for entry in self._reads.read(shop, customer) or ():
                        self._count(entry, shop.slug)
                    asked += 1
                    if asked % TICK_CUSTOMERS == 0:
                        meter.show(asked, asked / (time.monotonic() - began), self._conversions.totals())
        except UnavailableError as error:
            self._told.remarks.append(f"{error} ({asked:,} of {total:,} customers were asked)")
            return False
        return True

    def _count(self, entry: Mapping[str, Any], slug: str) -> bool:
        since = self._referrals.since_of(slug, entry.get("referral_bhid"))
        if since is not None:
            self._conversions.add(entry, since, slug)
        return since is not None
