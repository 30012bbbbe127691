"""Reads a whole shop's customer list: the ids and addresses by which Refer2 would find each customer.

The list is everybody's personal data. It is read once, line by line, and nothing of it is kept, logged or shown here.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import urllib3

from worker.clock import Clock
from worker.errors import UnavailableError, UsageError
from worker.instants import SECOND
from worker.model.job import Customer
from worker.model.verdicts import Halted, Refused, Rejected, Retry, Throttled, Unknown, Verdict
from worker.refer2.line_reader import BrokenListError, lines
from worker.refer2.listed_customer import ListedCustomer, read_customer
from worker.refer2.responses import judge
from worker.refer2.transport import NoAnswer, Transport, read_answer, tls_context
from worker.shops.config import ShopConfig
from worker.shops.credentials import ReadyToken
from worker.text.bounds import ANSWER, LISTED_CUSTOMER

CALLS = ("ListCustomers3", "ListCustomers2")
"""The newer call first: the older one is for shops that are not served the newer one."""

LONGEST_SILENCE_SECONDS = 60.0
"""Longest wait for the answer's head, and for each line. How long the vendor prepares a list is not published."""

MOST_ROWS = 20_000_000
"""Lines of a list, twenty times a large shop's; one that goes on has no end."""

MOST_BAD_LINES = 1000
"""Lines of a list that may be unreadable. With more, it is some other list."""

LONGEST_RETRY_AFTER_SECONDS = 600
MOST_THROTTLES = 10
"""How long, and how often, a 429 is waited for before the command ends: somebody may sit before it."""

_UNNAMED_RETRY_AFTER_SECONDS = 10
"""The pause after a 429 that names none."""

_BODY = json.dumps({"fields": "ids,email", "format": "JSONL", "limit": -1}).encode()

_NOT_SERVED = frozenset({404, 405, 410, 501})


class CustomerLists:
    """Reads the lists of shops, one at a time, since their rate limits are not published. For one thread.

    Blocks while it reads, for hours if the list is that long: only its pauses are bounded.
    """

    def __init__(
        self,
        *,
        token_of: Callable[[ShopConfig, Customer], str],
        clock: Clock,
        connect_timeout_seconds: float = 3.05,
        silence_seconds: float = LONGEST_SILENCE_SECONDS,
        http_proxy: str | None = None,
        ca_file: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = lambda _: None,
        most_rows: int = MOST_ROWS,
    ) -> None:
        """``sleep`` waits out a 429 and ``say`` tells a person that it does; the others as those of the client.

        Raises:
          ConfigurationError: ``ca_file`` holds no certificates.
        """
        self._token_of = token_of
        self._clock = clock
        self._silence = silence_seconds
        self._sleep = sleep
        self._say = say
        self._most_rows = most_rows
        self._transport = Transport(
            tls=tls_context(ca_file),
            proxy=http_proxy,
            connect_timeout=connect_timeout_seconds,
            read_timeout=silence_seconds,
            deadline=silence_seconds,
        )

    def read(self, shop: ShopConfig) -> "CustomerList":
        """The shop's list; nothing is asked for before it is iterated.

        Raises:
          UsageError: the shop's token speaks for single customers.
        """
        ready = isinstance(shop.credential, ReadyToken) and shop.credential.names_customer
        if shop.token == "customer" or ready:  # noqa: S105 - a kind of token, not a token
            raise UsageError(
                f"shop {shop.slug}: has customer tokens, which can't read the shop's customer list; use a shop token, "
                "or leave --match out"
            )
        return CustomerList(shop, self._open, silence=self._silence, most_rows=self._most_rows)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _open(self, shop: ShopConfig) -> urllib3.HTTPResponse:
        """The answer with the list, its body unread.

        Raises:
          UnavailableError: there is no list to be had.
        """
        for call in CALLS:
            opened = self._patiently(shop, call)
            if opened is not None:
                return opened
        raise UnavailableError(
            f"{_where(shop)}: serves neither {' nor '.join(CALLS)}, so it has no customer list; check base_url and "
            "the shop's slug (a sandbox has one with --customers), or leave --match out"
        )

    def _patiently(self, shop: ShopConfig, call: str) -> urllib3.HTTPResponse | None:
        # None: the call is not served.
        url = f"{shop.base_url}/api/{shop.api_version}/{shop.slug}/{call}"
        for throttles in range(MOST_THROTTLES + 1):
            opened = self._transport.open(url, self._token_of(shop, Customer()), _BODY)
            if isinstance(opened, NoAnswer):
                raise _unanswered(shop, opened, self._silence)
            if isinstance(opened, urllib3.HTTPResponse):
                if opened.status == 200:
                    return opened
                answer = read_answer(opened, ANSWER.size)
            else:
                answer = opened
            if answer.status in _NOT_SERVED:
                return None
            verdict = judge(answer, self._clock.now() + self._clock.ahead())
            if not isinstance(verdict, Throttled):
                raise _refused(shop, answer.status, verdict)
            self._wait(shop, verdict, throttles)
        raise AssertionError("the last throttle raises")

    def _wait(self, shop: ShopConfig, throttled: Throttled, earlier: int) -> None:
        named = throttled.retry_after
        seconds = _UNNAMED_RETRY_AFTER_SECONDS if named is None else max(1, -(-named // SECOND))
        if seconds > LONGEST_RETRY_AFTER_SECONDS or earlier >= MOST_THROTTLES:
            raise UnavailableError(
                f"{_where(shop)}: the customer list is over its rate limit ({throttled.status}); try again in "
                f"{seconds:,} s, or leave --match out"
            )
        self._say(f"shop {shop.slug}: the customer list is over its rate limit; waiting {seconds:,} s")
        self._sleep(seconds)


class CustomerList:
    """One shop's list, to be iterated once."""

    def __init__(
        self,
        shop: ShopConfig,
        open_list: Callable[[ShopConfig], urllib3.HTTPResponse],
        *,
        silence: float,
        most_rows: int,
    ) -> None:
        self.rows = 0
        """Customers read so far."""
        self.bad_lines = 0
        """Lines so far that hold no customer; they are left out."""
        self._shop = shop
        self._open = open_list
        self._silence = silence
        self._most_rows = most_rows

    def __iter__(self) -> Iterator[ListedCustomer]:
        """The customers.

        Raises:
          UnavailableError: the list is refused, breaks off, has no end or is none. What was read before is then no
            list of the shop's customers, and must not be used as one.
        """
        raw = self._open(self._shop)
        try:
            for number, (line, closed) in enumerate(lines(raw, longest=LISTED_CUSTOMER.size, silence=self._silence), 1):
                # Blank lines count too: an endless stream of them is no list.
                if number > self._most_rows:
                    raise BrokenListError(f"has more than {self._most_rows:,} lines")
                customer = read_customer(line)
                if customer is not None:
                    self.rows += 1
                    yield customer
                elif line.strip():
                    self._count_bad(line, closed=closed)
        except BrokenListError as broken:
            raise UnavailableError(
                f"{_where(self._shop)}: its customer list {broken} (after {self.rows:,} customers); try again, or "
                "leave --match out"
            ) from None

    def _count_bad(self, line: bytes, *, closed: bool) -> None:
        begun = line.strip()
        if not closed and begun.startswith(b"{") and not begun.endswith(b"}"):
            raise BrokenListError("was cut off")
        if not self.rows:
            raise BrokenListError("begins with a line that is no customer as JSON")
        self.bad_lines += 1
        if self.bad_lines > MOST_BAD_LINES:
            raise BrokenListError(f"has more than {MOST_BAD_LINES:,} lines that are no customer as JSON")


def _where(shop: ShopConfig) -> str:
    return f"shop {shop.slug} at {shop.base_url}"


def _unanswered(shop: ShopConfig, answer: NoAnswer, silence: float) -> UnavailableError:
    if not answer.sent:
        return UnavailableError(f"{_where(shop)}: is out of reach ({answer.reason}); check base_url, and try again")
    what = f"none came for {silence:g} s" if answer.flaw == "timeout" else "the connection was lost"
    return UnavailableError(
        f"{_where(shop)}: did not answer with its customer list ({what}); try again, or leave --match out"
    )


def _refused(shop: ShopConfig, status: int, verdict: Verdict) -> UnavailableError:
    where = _where(shop)
    code = getattr(verdict, "code", None) or f"http_{status}"
    match verdict:
        case Halted(status=407):
            return UnavailableError(f"{where}: the proxy refuses us ({code}); check REFERRALS_HTTP_PROXY")
        case Halted(code="invalid_token"):
            what = f"its token is refused ({status}, {code}); check it with `referrals shops check {shop.slug}`"
        case Halted():
            what = f"the customer list is refused ({status}, {code}); check api_version"
        case Rejected() | Refused() if status in (401, 403):
            what = f"its token may not read the customer list ({status}, {code}); ask for a shop token that may"
        case Retry() | Unknown():
            what = f"did not answer with its customer list ({status}, {code}); try again"
        case _:
            what = f"the answer is no customer list ({status}, {code}); check base_url and the shop's slug"
    return UnavailableError(f"{where}: {what}, or leave --match out")
