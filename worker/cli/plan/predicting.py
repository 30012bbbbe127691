"""``--match``: predicts by the provider's customer lists, which are read as the workers would read them."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from worker.cli import console
from worker.cli.meter import Meter
from worker.clock import SystemClock
from worker.errors import UsageError
from worker.planning.matching import Matching, ShopCustomers
from worker.settings import Settings
from worker.shops.config import ShopConfig
from worker.shops.file import read_shops

if TYPE_CHECKING:
    from worker.refer2.listed_customer import ListedCustomer
    from worker.refer2.shop_lists import ShopList

TICK_CUSTOMERS = 1000
"""Customers between two updates of the line of progress."""


def check_match(*, match: bool, dry_run: bool, yes: bool) -> None:
    """Refuse ``--match`` in a command that would show nobody what it predicts.

    Raises:
      UsageError: no plan is shown.
    """
    if match and not dry_run and (yes or not console.is_terminal()):
        raise UsageError(
            "--match: predicts in the plan, and none is shown with --yes or without a terminal; give --dry-run with "
            "it, or leave it out"
        )


@contextmanager
def predicting(
    loaded: Settings, *, match: bool, shops: Mapping[str, ShopConfig] | None = None
) -> Iterator[Matching | None]:
    """What predicts each job, or None without ``match``. A shop's list is read at its first job.

    ``shops`` are those whose lists are read; None: those of the shops file.

    Raises:
      ConfigurationError: the shops file or a credential in it can't be used.
    """
    if not match:
        yield None
        return
    # Imported only when used: no other plan calls anybody and needs an HTTP library.
    from worker.refer2.listed_customer import CUSTOMERS
    from worker.refer2.shop_lists import ShopLists
    from worker.refer2.tokens import TokenMaker

    listed = read_shops(loaded.shops, plaintext_hosts=loaded.plaintext_hosts) if shops is None else shops
    clock = SystemClock()
    lists = ShopLists(
        token_of=TokenMaker(clock).token,
        clock=clock,
        connect_timeout_seconds=loaded.connect_timeout_seconds,
        http_proxy=loaded.http_proxy.get_secret_value() if loaded.http_proxy else None,
        ca_file=loaded.ca_file,
        say=console.say,
    )

    def read(slug: str) -> ShopCustomers:
        customers = lists.read(listed[slug], CUSTOMERS)
        if not console.stderr().is_terminal:
            return customers
        console.say(f"shop {slug}: reading its customer list")
        return _Counted(slug, customers)

    try:
        yield Matching(read)
    finally:
        lists.close()


def say_doubts(predictor: Matching | None) -> None:
    """Print what makes the predictions doubtful."""
    for text in predictor.warnings if predictor is not None else ():
        console.note(text)


class _Counted:
    """A shop's customers, with a line of progress that counts them while they are read."""

    def __init__(self, slug: str, customers: "ShopList[ListedCustomer]") -> None:
        self._slug = slug
        self._customers = customers

    @property
    def bad_lines(self) -> int:
        return self._customers.bad_lines

    def __iter__(self) -> Iterator["ListedCustomer"]:
        began = time.monotonic()
        with Meter(None) as meter:
            for number, customer in enumerate(self._customers, start=1):
                if number % TICK_CUSTOMERS == 0:
                    meter.show(number, number / (time.monotonic() - began), {f"customers of {self._slug}": number})
                yield customer
