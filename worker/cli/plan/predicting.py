"""``--match``: predicts by the provider's customer lists, which are read as the workers would read them."""

from collections.abc import Iterator
from contextlib import contextmanager

from worker.cli import console
from worker.clock import SystemClock
from worker.planning.matching import Matching, ShopCustomers
from worker.settings import Settings
from worker.shops.file import read_shops


@contextmanager
def predicting(loaded: Settings, *, match: bool) -> Iterator[Matching | None]:
    """What predicts each job, or None without ``match``. A shop's list is read at its first job.

    Raises:
      ConfigurationError: the shops file or a credential in it can't be used.
    """
    if not match:
        yield None
        return
    # Imported only when used: no other plan calls anybody and needs an HTTP library.
    from worker.refer2.customer_list import CustomerLists
    from worker.refer2.tokens import TokenMaker

    shops = read_shops(loaded.shops, plaintext_hosts=loaded.plaintext_hosts)
    clock = SystemClock()
    lists = CustomerLists(
        token_of=TokenMaker(clock).token,
        clock=clock,
        connect_timeout_seconds=loaded.connect_timeout_seconds,
        http_proxy=loaded.http_proxy.get_secret_value() if loaded.http_proxy else None,
        ca_file=loaded.ca_file,
        say=console.say,
    )

    def read(slug: str) -> ShopCustomers:
        if console.stderr.is_terminal:
            console.say(f"shop {slug}: reading its customer list")
        return lists.read(shops[slug])

    try:
        yield Matching(read)
    finally:
        lists.close()
