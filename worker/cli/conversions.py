"""``--conversions``: asks the shops what came of a campaign's referrals."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from worker.cli import console
from worker.clock import SystemClock
from worker.errors import UnavailableError, UsageError
from worker.refer2.customer_referrals import CustomerReferrals
from worker.refer2.history import history
from worker.refer2.shop_lists import ShopLists
from worker.refer2.tokens import TokenMaker
from worker.reporting.campaign_referrals import CampaignReferrals
from worker.reporting.conversions import Conversions
from worker.settings import Settings
from worker.shops.config import ShopConfig
from worker.shops.file import read_shops

Source = Literal["ListHistory1", "CustomerReferrals2"]

TICK_CUSTOMERS = 20
"""Customers between two updates of the line of progress; each is a call."""


@dataclass
class Told:
    """What the shops said. ``sources`` tells by shop who was asked; a shop in none of them is in ``remarks``."""

    conversions: Conversions = field(default_factory=Conversions)
    sources: dict[str, Source] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def ask_shops(loaded: Settings, referrals: CampaignReferrals) -> Told:
    """Ask each shop that made a referral. Blocks, for a call per customer where a shop's history tells nothing.

    Raises:
      ConfigurationError: the shops file or a credential in it can't be used.
    """
    shops = read_shops(loaded.shops, plaintext_hosts=loaded.plaintext_hosts)
    told = Told()
    clock = SystemClock()
    proxy = loaded.http_proxy.get_secret_value() if loaded.http_proxy else None
    token_of = TokenMaker(clock).token
    seconds = loaded.connect_timeout_seconds
    lists = ShopLists(
        token_of=token_of,
        clock=clock,
        connect_timeout_seconds=seconds,
        http_proxy=proxy,
        ca_file=loaded.ca_file,
        say=console.say,
    )
    reads = CustomerReferrals(
        token_of=token_of,
        clock=clock,
        connect_timeout_seconds=seconds,
        http_proxy=proxy,
        ca_file=loaded.ca_file,
        say=console.say,
    )
    try:
        for slug, since in sorted(referrals.since.items()):
            if slug not in shops:
                told.remarks.append(f"shop {slug}: is not in {loaded.shops}, so nobody could be asked")
            elif _history_tells(lists, shops[slug], since, referrals, told):
                told.sources[slug] = "ListHistory1"
            elif _customers_tell(reads, shops[slug], since, referrals, told):
                told.sources[slug] = "CustomerReferrals2"
    finally:
        lists.close()
        reads.close()
    return told


def _history_tells(
    lists: ShopLists, shop: ShopConfig, since: datetime, referrals: CampaignReferrals, told: Told
) -> bool:
    """Whether the shop's history names a referral of the campaign; such changes are counted."""
    named = 0
    try:
        for change in lists.read(shop, history(since)):
            named += _count(change, shop.slug, since, referrals, told.conversions)
    except (UnavailableError, UsageError):
        # Most shops don't serve it. Then each customer is asked, and what was read before counts once all the same.
        return False
    return named > 0


def _customers_tell(
    reads: CustomerReferrals, shop: ShopConfig, since: datetime, referrals: CampaignReferrals, told: Told
) -> bool:
    """Whether every customer could be asked; a remark says which shop gave no answer, and after how many."""
    began = time.monotonic()
    total = referrals.count(shop.slug)
    asked = 0
    try:
        with console.Meter(total) as meter:
            for asked, customer in enumerate(referrals.customers(shop.slug), start=1):
                for entry in reads.read(shop, customer) or ():
                    _count(entry, shop.slug, since, referrals, told.conversions)
                if asked % TICK_CUSTOMERS == 0:
                    meter.show(asked, asked / (time.monotonic() - began), told.conversions.totals())
    except UnavailableError as error:
        told.remarks.append(f"{error} ({asked - 1:,} of {total:,} customers were asked)")
        return False
    return True


def _count(
    entry: Mapping[str, Any], slug: str, since: datetime, referrals: CampaignReferrals, conversions: Conversions
) -> bool:
    ours = referrals.has(slug, entry.get("referral_bhid"))
    if ours:
        conversions.add(entry, since)
    return ours
