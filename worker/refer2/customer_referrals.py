"""Reads what became of single customers' referrals, for a report."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from worker.backoff import Backoff
from worker.clock import Clock
from worker.errors import UnavailableError
from worker.model.job import Customer
from worker.model.verdicts import Halted, Refused, Rejected, Throttled, Verdict
from worker.refer2.patience import Patience
from worker.refer2.responses import judge, read_object
from worker.refer2.transport import NoAnswer, Transport, tls_context
from worker.refer2.verification import NOBODY
from worker.shops.config import ShopConfig
from worker.shops.credentials import UnidentifiedCustomerError
from worker.text.bounds import LISTING

MOST_FAILURES = 5
"""Failures of one read after which reading ends: with the pauses between them, an outage of some 15 s is bridged."""

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0


class CustomerReferrals:
    """Asks ``CustomerReferrals2`` for one customer after the other. For one thread.

    The vendor's limits of reads are per customer (2 a second, 1,000 a day), so nothing here has to wait for them unless
    a 429 says so.
    """

    def __init__(
        self,
        *,
        token_of: Callable[[ShopConfig, Customer], str],
        clock: Clock,
        connect_timeout_seconds: float = 3.05,
        read_timeout_seconds: float = 20.0,
        http_proxy: str | None = None,
        ca_file: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``sleep`` waits, and ``say`` tells a person for what; the others as those of the client.

        Raises:
          ConfigurationError: ``ca_file`` holds no certificates.
        """
        self._token_of = token_of
        self._clock = clock
        self._sleep = sleep
        self._say = say
        self._transport = Transport(
            tls=tls_context(ca_file),
            proxy=http_proxy,
            connect_timeout=connect_timeout_seconds,
            read_timeout=read_timeout_seconds,
            deadline=read_timeout_seconds,
        )

    def read(self, shop: ShopConfig, customer: Customer) -> Sequence[Mapping[str, Any]] | None:
        """The customer's referrals, an entry for each acceptance of one; None if Refer2 has no such customer.

        Blocks, for minutes where the shop is out of reach or a 429 asks for it.

        Raises:
          UnavailableError: the shop refuses the token, or gives no readable answer.
        """
        patience = Patience(self._sleep, self._say)
        backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        for _ in range(MOST_FAILURES):
            while isinstance(answer := self._ask(shop, customer), Throttled):
                seconds = patience.wait(answer, f"shop {shop.slug}: a read of referrals")
                if seconds is not None:
                    raise _failed(shop, f"reads of referrals are over their rate limit for {seconds:,} s")
            match answer:
                case list():
                    return answer
                case Rejected(code=code) if code in NOBODY:
                    return None
                case Rejected(code=code) | Refused(code=code) | Halted(code=code):
                    raise _failed(shop, f"a read of referrals is refused ({code})")
                case _:
                    pass  # no answer, or a failure: it may pass
            self._sleep(backoff.next())
        raise _failed(shop, f"did not answer {MOST_FAILURES} times with a customer's referrals")

    def _ask(self, shop: ShopConfig, customer: Customer) -> list[dict[str, Any]] | Verdict | None:
        # None: no answer, or none that can be read.
        try:
            token = self._token_of(shop, customer)
        except UnidentifiedCustomerError as error:
            return Rejected(None, error.code, str(error), listed=True)
        url = f"{shop.base_url}/api/{shop.api_version}/{shop.slug}/CustomerReferrals2"
        body = json.dumps({"customer": customer.identity()}).encode("ascii")
        answer = self._transport.post(url, token, body, largest=LISTING.size)
        if isinstance(answer, NoAnswer) or answer.flaw:
            return None
        if not 200 <= answer.status < 300:
            return judge(answer, self._clock.now() + self._clock.ahead())
        listed = (read_object(answer.body, LISTING) or {}).get("referrals")
        return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else None

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


def _failed(shop: ShopConfig, what: str) -> UnavailableError:
    return UnavailableError(
        f"shop {shop.slug} at {shop.base_url}: {what}; try again, or leave --conversions out; check the shop with "
        f"`referrals shops check {shop.slug}`"
    )
