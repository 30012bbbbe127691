"""Reads lists of a whole shop from the vendor's Analytics API, row by row.

A list is personal data of everybody in it. It is read once, line by line, and nothing of it is kept, logged or shown
here.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import urllib3

from worker.clock import Clock
from worker.errors import UnavailableError, UsageError
from worker.model.job import Customer
from worker.model.verdicts import Halted, Refused, Rejected, Retry, Throttled, Unknown, Verdict
from worker.refer2.line_reader import BrokenListError, lines
from worker.refer2.patience import Patience
from worker.refer2.responses import judge, read_object
from worker.refer2.transport import NoAnswer, Transport, read_answer, tls_context
from worker.shops.config import ShopConfig
from worker.shops.credentials import ReadyToken
from worker.text.bounds import ANSWER, LISTED_ROW

Row = TypeVar("Row")

LONGEST_SILENCE_SECONDS = 60.0
"""Longest wait for the answer's head, and for each line. How long the vendor prepares a list is not published."""

MOST_ROWS = 20_000_000
"""Lines of a list, twenty times a large shop's; one that goes on has no end."""

MOST_BAD_LINES = 1000
"""Lines of a list that may be unreadable. With more, it is some other list."""

_ERROR = frozenset({"id", "message"})
"""The vendor's error, by its names."""

_CURSORS = ("cursor", "next_cursor")
"""Names by which a list says that it goes on elsewhere."""

_NOT_SERVED = frozenset({404, 405, 410, 501})


@dataclass(frozen=True)
class ListKind(Generic[Row]):
    """A kind of list. ``calls`` serve it, the preferred one first; ``read_row`` makes a row of a line of JSON, or None.

    ``name`` and ``rows`` are what a person calls the list and its rows, ``way_out`` is what she can do without it, and
    ``hint`` says, in parentheses, when a shop has none.
    """

    calls: tuple[str, ...]
    read_row: Callable[[bytes], Row | None]
    name: str
    row: str
    rows: str
    way_out: str
    hint: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def body(self) -> bytes:
        """The request's body: the whole list, as lines of JSON."""
        return json.dumps({**self.inputs, "format": "JSONL", "limit": -1}).encode()


class ShopLists:
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

    def read(self, shop: ShopConfig, kind: ListKind[Row]) -> "ShopList[Row]":
        """The shop's list; nothing is asked for before it is iterated.

        Raises:
          UsageError: the shop's token speaks for single customers.
        """
        ready = isinstance(shop.credential, ReadyToken) and shop.credential.names_customer
        if shop.token == "customer" or ready:  # noqa: S105 - a kind of token, not a token
            raise UsageError(
                f"shop {shop.slug}: has customer tokens, which can't read the shop's {kind.name}; use a shop token, "
                f"or {kind.way_out}"
            )
        return ShopList(shop, kind, self._open, silence=self._silence, most_rows=self._most_rows)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _open(self, shop: ShopConfig, kind: ListKind[Row]) -> urllib3.HTTPResponse:
        """The answer with the list, its body unread.

        Raises:
          UnavailableError: there is no list to be had.
        """
        for call in kind.calls:
            opened = self._patiently(shop, kind, call)
            if opened is not None:
                return opened
        neither = f"serves neither {' nor '.join(kind.calls)}" if len(kind.calls) > 1 else f"serves no {kind.calls[0]}"
        raise UnavailableError(
            f"{_where(shop)}: {neither}, so it has no {kind.name}; check base_url and "
            f"the shop's slug{kind.hint}, or {kind.way_out}"
        )

    def _patiently(self, shop: ShopConfig, kind: ListKind[Row], call: str) -> urllib3.HTTPResponse | None:
        # None: the call is not served.
        url = f"{shop.base_url}/api/{shop.api_version}/{shop.slug}/{call}"
        patience = Patience(self._sleep, self._say)
        while True:
            opened = self._transport.open(url, self._token_of(shop, Customer()), kind.body())
            if isinstance(opened, NoAnswer):
                raise _unanswered(shop, kind, opened, self._silence)
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
                raise _refused(shop, kind, answer.status, verdict)
            seconds = patience.wait(verdict, f"shop {shop.slug}: the {kind.name}")
            if seconds is not None:
                raise UnavailableError(
                    f"{_where(shop)}: the {kind.name} is over its rate limit ({verdict.status}); try again in "
                    f"{seconds:,} s, or {kind.way_out}"
                )


class ShopList(Generic[Row]):
    """One shop's list, to be iterated once."""

    def __init__(
        self,
        shop: ShopConfig,
        kind: ListKind[Row],
        open_list: Callable[[ShopConfig, ListKind[Row]], urllib3.HTTPResponse],
        *,
        silence: float,
        most_rows: int,
    ) -> None:
        self.rows = 0
        """Rows read so far."""
        self.bad_lines = 0
        """Lines so far that hold no row; they are left out."""
        self._shop = shop
        self._kind = kind
        self._open = open_list
        self._silence = silence
        self._most_rows = most_rows

    def __iter__(self) -> Iterator[Row]:
        """The rows.

        Raises:
          UnavailableError: the list is refused, breaks off, has no end or is none. What was read before is then not
            the shop's list, and must not be used as one.
        """
        kind = self._kind
        raw = self._open(self._shop, kind)
        try:
            for number, (line, closed) in enumerate(lines(raw, longest=LISTED_ROW.size, silence=self._silence), 1):
                # Blank lines count too: an endless stream of them is no list.
                if number > self._most_rows:
                    raise BrokenListError(f"has more than {self._most_rows:,} lines")
                row = kind.read_row(line)
                if not row and (broken := _says_it_is_not_whole(line)):
                    raise BrokenListError(broken)
                if row is not None:
                    self.rows += 1
                    yield row
                elif line.strip():
                    self._count_bad(line, closed=closed)
        except BrokenListError as broken:
            raise UnavailableError(
                f"{_where(self._shop)}: its {kind.name} {broken} (after {self.rows:,} {kind.rows}); try again, or "
                f"{kind.way_out}"
            ) from None

    def _count_bad(self, line: bytes, *, closed: bool) -> None:
        begun = line.strip()
        if not closed and begun.startswith(b"{") and not begun.endswith(b"}"):
            raise BrokenListError("was cut off")
        if not self.rows:
            raise BrokenListError(f"begins with a line that is no {self._kind.row} as JSON")
        self.bad_lines += 1
        if self.bad_lines > MOST_BAD_LINES:
            raise BrokenListError(f"has more than {MOST_BAD_LINES:,} lines that are no {self._kind.row} as JSON")


def _says_it_is_not_whole(line: bytes) -> str | None:
    """How the list breaks off by a line that holds no row: once its status is sent, a server can tell it no otherwise.

    None where the line is anything else, or the end of the list.
    """
    document = read_object(line)
    if not document:
        return None
    if document.keys() <= _ERROR and isinstance(document.get("id"), str):
        return "broke off with an error of the server"
    if any(document.get(name) for name in _CURSORS):
        return "came only in part"
    return None


def _where(shop: ShopConfig) -> str:
    return f"shop {shop.slug} at {shop.base_url}"


def _unanswered(shop: ShopConfig, kind: ListKind[Any], answer: NoAnswer, silence: float) -> UnavailableError:
    if not answer.sent:
        return UnavailableError(f"{_where(shop)}: is out of reach ({answer.reason}); check base_url, and try again")
    what = f"none came for {silence:g} s" if answer.flaw == "timeout" else "the connection was lost"
    return UnavailableError(
        f"{_where(shop)}: did not answer with its {kind.name} ({what}); try again, or {kind.way_out}"
    )


def _refused(shop: ShopConfig, kind: ListKind[Any], status: int, verdict: Verdict) -> UnavailableError:
    where = _where(shop)
    code = getattr(verdict, "code", None) or f"http_{status}"
    match verdict:
        case Halted(status=407):
            return UnavailableError(f"{where}: the proxy refuses us ({code}); check REFERRALS_HTTP_PROXY")
        case Halted(code="invalid_token"):
            what = f"its token is refused ({status}, {code}); check it with `referrals shops check {shop.slug}`"
        case Halted():
            what = f"the {kind.name} is refused ({status}, {code}); check api_version"
        case Rejected() | Refused() if status in (401, 403):
            what = f"its token may not read the {kind.name} ({status}, {code}); ask for a shop token that may"
        case Retry() | Unknown():
            what = f"did not answer with its {kind.name} ({status}, {code}); try again"
        case _:
            what = f"the answer is no {kind.name} ({status}, {code}); check base_url and the shop's slug"
    return UnavailableError(f"{where}: {what}, or {kind.way_out}")
