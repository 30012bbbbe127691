"""One customer's referrals are read, patiently, or one line says why they can't be."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.rawserver import RawServer, body_of, in_turn, response, sends
from worker.clock import ManualClock
from worker.errors import UnavailableError
from worker.model.job import Customer
from worker.refer2.customer_referrals import MOST_FAILURES, CustomerReferrals
from worker.refer2.tokens import TokenMaker
from worker.shops.config import ShopConfig, ShopTable
from worker.shops.credentials import SigningKey

KEY = SigningKey("key", b"a secret that is long enough to sign")
JANE = Customer(shopid="7", email="jane@example.com")
ENTRIES = [{"referral_bhid": "r1", "acceptance_bhid": "a1"}, {"referral_bhid": "r1", "acceptance_bhid": "a2"}]
GOOD = response(200, {"referrals": ENTRIES})


def error(status: int, code: str, headers: dict[str, str] | None = None) -> bytes:
    return response(status, {"id": code}, headers)


class Reads:
    """Reads with little patience, and remembers for what it waited."""

    def __init__(self) -> None:
        clock = ManualClock(1_900_000_000_000_000)
        self.waits: list[float] = []
        self.said: list[str] = []
        self.of = CustomerReferrals(
            token_of=TokenMaker(clock).token,
            clock=clock,
            read_timeout_seconds=0.3,
            sleep=self.waits.append,
            say=self.said.append,
        )

    def read(self, server: RawServer, customer: Customer = JANE, **table: Any) -> object:
        return self.of.read(ShopConfig.of("acme", KEY, ShopTable(base_url=server.url, **table)), customer)


@pytest.fixture
def reads() -> Iterator[Reads]:
    made = Reads()
    yield made
    made.of.close()


def test_entries_are_read_with_the_shops_token(reads: Reads) -> None:
    """Every entry comes back as it is; what is no object is left out."""
    with RawServer(sends(response(200, {"referrals": [*ENTRIES, 7]}))) as server:
        assert reads.read(server) == ENTRIES
        (request,) = server.requests
    assert request.startswith(b"POST /api/v2023061/acme/CustomerReferrals2 ")
    assert body_of(request) == {"customer": {"shopid": "7", "email": "jane@example.com"}}


def test_a_customer_that_refer2_does_not_know_has_none(reads: Reads) -> None:
    """Neither has one whom a customer token can't name, who isn't asked about at all."""
    with RawServer(sends(error(404, "no_customers_match_customer_identity"))) as server:
        assert reads.read(server) is None
        assert reads.read(server, Customer(bhid="b1"), token="customer") is None
        assert len(server.requests) == 1


def test_a_rate_limit_is_waited_for_and_a_failure_retried(reads: Reads) -> None:
    """A 429 by its header, other failures by pauses that grow; then the answer counts."""
    throttled = error(429, "rate_limit_exceeded", {"Retry-After": "7"})
    replies = (throttled, error(503, "x"), response(200, b"<html>"), response(200, {"referrals": None}), GOOD)
    with RawServer(in_turn(*map(sends, replies))) as server:
        assert reads.read(server) == ENTRIES
    assert reads.waits[0] == 7
    assert len(reads.waits) == 4
    assert reads.said == ["shop acme: a read of referrals is over its rate limit; waiting 7 s"]


@pytest.mark.parametrize(
    ("answer", "expected", "requests"),
    [
        (error(401, "invalid_token"), "a read of referrals is refused (invalid_token)", 1),
        (error(403, "access_denied"), "a read of referrals is refused (access_denied)", 1),
        (response(403, b"<html>"), "a read of referrals is refused (http_403)", 1),
        (error(503, "x"), f"did not answer {MOST_FAILURES} times with a customer's referrals", MOST_FAILURES),
        (
            error(429, "rate_limit_exceeded", {"Retry-After": "601"}),
            "reads of referrals are over their rate limit for 601 s",
            1,
        ),
    ],
)
def test_reading_ends_in_one_line(reads: Reads, answer: bytes, expected: str, requests: int) -> None:
    """A refusal concerns every customer of the shop, and so does a shop that doesn't answer."""
    with RawServer(sends(answer)) as server:
        with pytest.raises(UnavailableError) as caught:
            reads.read(server)
        assert len(server.requests) == requests
    text = str(caught.value)
    assert text.startswith(f"shop acme at {server.url}: {expected}; try again, or leave --conversions out")
    assert "example.com" not in text
