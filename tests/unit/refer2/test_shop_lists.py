"""A shop's customer list is read whole, or one line says why it can't be."""

import gzip
import json
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.rawserver import Connection, RawServer, Reply, body_of, drips, fields_of, in_turn, response, sends
from worker.clock import ManualClock
from worker.errors import UnavailableError, UsageError
from worker.refer2.listed_customer import CUSTOMERS, ListedCustomer, read_customer
from worker.refer2.shop_lists import MOST_BAD_LINES, ShopLists
from worker.refer2.tokens import TokenMaker
from worker.shops.config import ShopConfig, ShopTable
from worker.shops.credentials import SigningKey, ready_token
from worker.text.bounds import LISTED_ROW

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
KEY = SigningKey("key", b"a secret that is long enough to sign")
JANE, JOE = ListedCustomer("b1", "7", "jane@example.com"), ListedCustomer("b2", "", "")


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


TWO = line(bhid="b1", shopid="7", email="jane@example.com") + line(bhid="b2", email=None)


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def shop_at(server: RawServer, **table: Any) -> ShopConfig:
    return ShopConfig.of("acme", KEY, ShopTable(base_url=server.url, **table))


class Reader:
    """Reads lists with little patience, and remembers for what it waited."""

    def __init__(self, **options: Any) -> None:
        clock = ManualClock(1_900_000_000_000_000)
        self.waits: list[float] = []
        self.said: list[str] = []
        self.lists = ShopLists(
            token_of=TokenMaker(clock).token,
            clock=clock,
            silence_seconds=0.3,
            sleep=self.waits.append,
            say=self.said.append,
            **options,
        )

    def read(self, server: RawServer, **table: Any) -> list[ListedCustomer]:
        return list(self.lists.read(shop_at(server, **table), CUSTOMERS))

    def refusal(self, server: RawServer) -> str:
        """The one line that it ends with."""
        with pytest.raises(UnavailableError) as caught:
            self.read(server)
        assert caught.value.exit_code == 1
        text = str(caught.value)
        assert text.startswith(f"shop acme at {server.url}: ")
        assert "\n" not in text
        assert "example.com" not in text
        return text.partition(f"{server.url}: ")[2]


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader()
    yield made
    made.lists.close()


def test_the_whole_list_is_asked_for_once(reader: Reader) -> None:
    """One request with the shop's token asks for ids and addresses of every customer, as JSON lines."""
    with RawServer(sends(response(200, TWO))) as server:
        assert reader.read(server) == [JANE, JOE]
        (request,) = server.requests
    assert request.startswith(b"POST /api/v2023061/acme/ListCustomers3 ")
    assert body_of(request) == {"fields": "ids,email", "format": "JSONL", "limit": -1}
    assert fields_of(request)["authorization"].startswith("Bearer ")


def test_the_older_call_is_asked_where_the_newer_one_is_not_served(reader: Reader) -> None:
    """A shop that has only ListCustomers2 answers with ``bh_id`` in place of ``bhid``."""
    older = line(bh_id="b1", shopify_id=7, email="jane@example.com") + line(bh_id="b2")
    with RawServer(in_turn(sends(response(404, b"<html>")), sends(response(200, older)))) as server:
        assert reader.read(server) == [JANE, JOE]
        assert [request.split()[1].rsplit(b"/", 1)[1] for request in server.requests] == [
            b"ListCustomers3",
            b"ListCustomers2",
        ]


@pytest.mark.parametrize("last", [b"", b"\n", b"\r\n\r\n"])
def test_a_list_may_end_with_or_without_a_line_end(reader: Reader, last: bytes) -> None:
    """Chunks cut lines anywhere, blank lines are nobody, and the last line may lack its end."""
    body = TWO.rstrip(b"\n") + last
    pieces = [body[:5], body[5:70], body[70:]]
    answer = CHUNKED + b"".join(chunk(piece) for piece in pieces) + chunk(b"")
    with RawServer(sends(answer)) as server:
        reading = reader.lists.read(shop_at(server), CUSTOMERS)
        assert list(reading) == [JANE, JOE]
    assert (reading.rows, reading.bad_lines) == (2, 0)


def test_a_compressed_list_is_read(reader: Reader) -> None:
    """A proxy may compress what was asked for plain."""
    with RawServer(sends(response(200, gzip.compress(TWO), {"Content-Encoding": "gzip"}))) as server:
        assert reader.read(server) == [JANE, JOE]


def test_bad_lines_are_counted_and_left_out(reader: Reader) -> None:
    """A line that is no JSON, has a number beyond JSON, or names nobody is no customer; the others count."""
    bad = b'{"bhid": NaN}\n[]\n{"email": ""}\n{"bhid": "b3"\n'
    with RawServer(sends(response(200, TWO + bad + line(bhid="b4")))) as server:
        reading = reader.lists.read(shop_at(server), CUSTOMERS)
        assert list(reading) == [JANE, JOE, ListedCustomer("b4", "", "")]
    assert (reading.rows, reading.bad_lines) == (3, 4)


REFUSALS: list[tuple[str, bytes, str]] = [
    (
        "401",
        response(401, {"id": "invalid_token"}),
        "its token is refused (401, invalid_token); check it with `referrals shops check acme`, or leave --match out",
    ),
    (
        "403",
        response(403, {"id": "access_denied", "message": "jane@example.com"}),
        (
            "its token may not read the customer list (403, access_denied); ask for a shop token that may, or leave "
            "--match out"
        ),
    ),
    (
        "403 page",
        response(403, b"<html>jane@example.com</html>"),
        "its token may not read the customer list (403, http_403); ask for a shop token that may, or leave --match out",
    ),
    (
        "404",
        response(404, b"<html>"),
        (
            "serves neither ListCustomers3 nor ListCustomers2, so it has no customer list; check base_url and the "
            "shop's slug (a sandbox has one with --customers), or leave --match out"
        ),
    ),
    (
        "redirect",
        response(302, b"", {"Location": "https://example.com/login"}),
        "the answer is no customer list (302, http_302); check base_url and the shop's slug, or leave --match out",
    ),
    (
        "version",
        response(400, {"id": "obsolete_global_api_version"}),
        "the customer list is refused (400, obsolete_global_api_version); check api_version, or leave --match out",
    ),
    (
        "503",
        response(503, b"<html>"),
        "did not answer with its customer list (503, http_503); try again, or leave --match out",
    ),
    (
        "HTML page",
        response(200, b"<!DOCTYPE html>\n<html>jane@example.com</html>\n"),
        (
            "its customer list begins with a line that is no customer as JSON (after 0 customers); try again, or leave "
            "--match out"
        ),
    ),
    (
        "HTML page in a line",
        response(200, b"<html>jane@example.com</html>"),
        (
            "its customer list begins with a line that is no customer as JSON (after 0 customers); try again, or leave "
            "--match out"
        ),
    ),
    (
        "error as 200",
        response(200, {"id": "internal", "message": "jane@example.com"}),
        "its customer list broke off with an error of the server (after 0 customers); try again, or leave --match out",
    ),
    (
        "cut in a line",
        response(200, TWO + b'{"bhid": "b3", "ema'),
        "its customer list was cut off (after 2 customers); try again, or leave --match out",
    ),
    (
        "an error amid the list",
        response(200, TWO + b'{"id": "internal_error", "message": "jane@example.com"}\n'),
        "its customer list broke off with an error of the server (after 2 customers); try again, or leave --match out",
    ),
    (
        "an error without a message",
        response(200, TWO + b'{"id": "internal_error"}\n' + TWO),
        "its customer list broke off with an error of the server (after 2 customers); try again, or leave --match out",
    ),
    (
        "a part of a list",
        response(200, TWO + b'{"cursor": "b2", "rows": 2}\n'),
        "its customer list came only in part (after 2 customers); try again, or leave --match out",
    ),
    (
        "more bad lines than a list has",
        response(200, TWO + b"x\n" * (MOST_BAD_LINES + 1)),
        (
            "its customer list has more than 1,000 lines that are no customer as JSON (after 2 customers); try again, "
            "or leave --match out"
        ),
    ),
    (
        "unknown coding",
        response(200, TWO, {"Content-Encoding": "br"}),
        "its customer list is in a coding that was not asked for (after 0 customers); try again, or leave --match out",
    ),
    (
        "not gzip",
        response(200, TWO, {"Content-Encoding": "gzip"}),
        "its customer list can't be unpacked (after 0 customers); try again, or leave --match out",
    ),
    (
        "half a gzip",
        response(200, gzip.compress(TWO)[:-9], {"Content-Encoding": "gzip"}),
        "its customer list was cut off (after 2 customers); try again, or leave --match out",
    ),
    (
        "two gzips",
        response(200, gzip.compress(TWO) * 2, {"Content-Encoding": "gzip"}),
        "its customer list can't be unpacked (after 2 customers); try again, or leave --match out",
    ),
]


@pytest.mark.parametrize(("answer", "expected"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS])
def test_an_answer_that_is_no_list_ends_in_one_line(reader: Reader, answer: bytes, expected: str) -> None:
    """The line names the shop, what is wrong and the remedy, and quotes nothing of the answer."""
    with RawServer(sends(answer)) as server:
        assert reader.refusal(server) == expected


def closed(answer: bytes) -> Reply:
    return sends(answer, then=lambda connection: connection.close())


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(closed(response(200, TWO, length=len(TWO) + 1)), id="shorter than its length"),
        pytest.param(closed(CHUNKED + chunk(TWO)), id="no last chunk"),
        pytest.param(sends(CHUNKED + chunk(TWO), then=lambda connection: connection.reset()), id="reset"),
        pytest.param(closed(CHUNKED + chunk(TWO) + b"zz\r\n"), id="no chunk"),
    ],
)
def test_a_list_that_breaks_off_between_lines_is_no_list(reader: Reader, reply: Reply) -> None:
    """What came before is not taken for all of the customers."""
    with RawServer(reply) as server:
        assert reader.refusal(server).startswith("its customer list was cut off (after ")


@pytest.mark.parametrize(
    ("reply", "after"),
    [
        pytest.param(sends(CHUNKED + chunk(TWO)), 2, id="silence"),
        pytest.param(
            drips(response(200, TWO + b" " * 1000), at_once=len(response(200, TWO + b" " * 1000)) - 1000, every=0.05),
            2,
            id="drip",
        ),
    ],
)
def test_a_list_that_stalls_is_given_up(reader: Reader, reply: Reply, after: int) -> None:
    """Bytes that make no line don't count as progress."""
    with RawServer(reply) as server:
        assert reader.refusal(server) == (
            f"its customer list stopped: no line came for 0.3 s (after {after} customers); try again, or leave "
            "--match out"
        )


def test_a_slow_list_may_take_longer_than_any_of_its_pauses(reader: Reader) -> None:
    """Each line starts the wait anew: twelve lines, one each 50 ms, take twice the longest silence."""

    def reply(connection: Connection) -> None:
        connection.send(CHUNKED)
        for number in range(12):
            connection.wait(0.05)
            connection.send(chunk(line(bhid=f"b{number}")))
        connection.send(chunk(b""))

    with RawServer(reply) as server:
        assert len(reader.read(server)) == 12


def silent(connection: Connection) -> None:
    connection.wait(5)


def test_no_answer_at_all(reader: Reader) -> None:
    """A server that keeps silent, one that hangs up, and none at all have each a line of their own."""
    with RawServer(silent) as server:
        assert "did not answer with its customer list (none came for 0.3 s)" in reader.refusal(server)
    with RawServer(lambda connection: connection.close()) as server:
        assert "did not answer with its customer list (the connection was lost)" in reader.refusal(server)
    assert "is out of reach" in reader.refusal(server)


def repeated(data: bytes, times: int) -> Reply:
    def reply(connection: Connection) -> None:
        connection.send(CHUNKED)
        for _ in range(times):
            if not connection.open:
                return
            connection.send(chunk(data))

    return reply


def test_a_line_of_100_mb_is_refused_at_its_first_64_kib(reader: Reader) -> None:
    """Nothing of the rest is read, whatever it may be."""
    with RawServer(repeated(b"a" * 65536, 1600)) as server:
        tracemalloc.start()
        try:
            refused = reader.refusal(server)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert refused.startswith(f"its customer list has a line of more than {LISTED_ROW.size:,} bytes (after 0 ")
    assert peak < 4_000_000


def test_a_packed_line_of_100_mb_is_refused_too(reader: Reader) -> None:
    """It unpacks piece by piece."""
    packed = gzip.compress(b"a" * 100_000_000)
    with RawServer(sends(response(200, packed, {"Content-Encoding": "gzip"}))) as server:
        assert "has a line of more than" in reader.refusal(server)


@pytest.mark.parametrize("endless", [line(bhid="b1") * 100, b"\n" * 100, b" \r\n" * 100])
def test_a_list_without_an_end_is_refused(endless: bytes) -> None:
    """Blank lines count as lines."""
    reader = Reader(most_rows=5000)
    with RawServer(repeated(endless, 10_000)) as server:
        assert reader.refusal(server).startswith("its customer list has more than 5,000 lines (after ")
    reader.lists.close()


def test_a_rate_limit_is_waited_for(reader: Reader) -> None:
    """For as long as Retry-After says, or for ten seconds where it doesn't; a person is told."""
    throttled = {"id": "rate_limit_exceeded", "message": "Over the limit"}
    replies = in_turn(
        sends(response(429, throttled, {"Retry-After": "7"})),
        sends(response(429, b"<html>")),
        sends(response(200, TWO)),
    )
    with RawServer(replies) as server:
        assert reader.read(server) == [JANE, JOE]
        assert len(server.requests) == 3
    assert reader.waits == [7, 10]
    assert reader.said[0] == "shop acme: the customer list is over its rate limit; waiting 7 s"


def test_a_rate_limit_without_an_end_is_given_up(reader: Reader) -> None:
    """A person may sit before the command, so neither one long wait nor many short ones are sat out."""
    with RawServer(sends(response(429, b"", {"Retry-After": "3600"}))) as server:
        assert "is over its rate limit (429); try again in 3,600 s" in reader.refusal(server)
    assert reader.waits == []
    with RawServer(sends(response(429, b"", {"Retry-After": "1"}))) as server:
        assert "is over its rate limit (429); try again in 1 s" in reader.refusal(server)
    assert reader.waits == [1] * 10


def one_customer() -> ShopConfig:
    claims = "eyJzdWIiOiJhY21lLzEyMzQifQ"
    return ShopConfig.of("acme", ready_token(f"e30.{claims}.c2ln".encode()))


@pytest.mark.parametrize("shop", [lambda: ShopConfig.of("acme", KEY, ShopTable(token="customer")), one_customer])
def test_a_token_of_one_customer_reads_no_list(reader: Reader, shop: Callable[[], ShopConfig]) -> None:
    """It is refused before anything is asked."""
    with pytest.raises(UsageError, match="has customer tokens, which can't read the shop's customer list; use a shop"):
        reader.lists.read(shop(), CUSTOMERS)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"bhid": "b", "shopid": "s", "email": "e"}, ListedCustomer("b", "s", "e")),
        ({"bh_id": "b", "shopify_id": 7223120413123}, ListedCustomer("b", "7223120413123", "")),
        ({"bhid": "b", "shopid": None, "custom_id": "c"}, ListedCustomer("b", "", "")),
        ({"bhid": "b", "custom_id": "c", "shopify_id": "s"}, ListedCustomer("b", "s", "")),
        ({"bhid": "b", "custom_id": "c", "vip_tier_id": "t"}, ListedCustomer("b", "c", "")),
        ({"bhid": True, "shopid": 1.5, "email": ["e"]}, None),
        ({"phone": "1"}, None),
    ],
)
def test_the_ids_of_a_row(row: dict[str, object], expected: ListedCustomer | None) -> None:
    """The shop's id comes under the platform's name, and other properties are ignored."""
    assert read_customer(json.dumps(row).encode()) == expected
