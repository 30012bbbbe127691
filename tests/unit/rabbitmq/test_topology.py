"""Names, arguments and routing keys on RabbitMQ: a contract with producers, consumers and every earlier version."""

import pytest

from worker.instants import SECOND
from worker.model.outcomes import Outcome
from worker.rabbitmq.topology import (
    DELAYS,
    EXCHANGES,
    delay_exchange,
    expiration,
    producer_exchange,
    queues,
    result_key,
    shop_queue,
    shop_queue_declaration,
)

SAFE = {
    "x-queue-type": "quorum",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


def test_exchanges_are_frozen() -> None:
    """The exchanges are those of version 1; only the way back of delayed jobs has an alternate exchange."""
    assert {(exchange.name, exchange.type, *exchange.arguments.items()) for exchange in EXCHANGES} == {
        ("referrals", "direct"),
        ("referrals.return", "direct", ("alternate-exchange", "referrals.dead")),
        ("referrals.results", "topic"),
        ("referrals.dead", "fanout"),
        ("referrals.suppression", "fanout"),
        *((f"referrals.delay.{seconds}", "fanout") for seconds in (1, 5, 15, 60, 300, 900, 3600)),
    }


def test_a_producer_s_exchange_is_frozen() -> None:
    """Permissions are written by its name."""
    assert producer_exchange("acme-crm").name == "referrals.from.acme-crm"


def test_shop_queue_is_frozen() -> None:
    """A shop's queue takes its jobs from producers and from the delay queues, and loses none."""
    queue = shop_queue_declaration("acme")
    assert queue.name == shop_queue("acme") == "referrals.shop.acme"
    assert queue.bindings == (("referrals", "acme"), ("referrals.return", "acme"))
    assert queue.arguments == SAFE | {"x-delivery-limit": 100_000, "x-dead-letter-exchange": "referrals.dead"}


def test_queues_are_frozen() -> None:
    """The queues beside the shops' are those of version 1, arguments included."""
    declared = {queue.name: (queue.arguments, queue.bindings) for queue in queues(["acme", "zeta"])}
    assert declared.pop("referrals.shop.acme") == (
        shop_queue_declaration("acme").arguments,
        shop_queue_declaration("acme").bindings,
    )
    assert "referrals.shop.zeta" in declared
    del declared["referrals.shop.zeta"]
    delays = {
        f"referrals.delay.{seconds}": (
            SAFE | {"x-message-ttl": seconds * 1000, "x-dead-letter-exchange": "referrals.return"},
            ((f"referrals.delay.{seconds}", ""),),
        )
        for seconds in DELAYS
    }
    assert declared == {
        "referrals.dead": (
            {"x-queue-type": "quorum", "x-delivery-limit": 100_000},
            (("referrals.dead", ""),),
        ),
        "referrals.suppression": (
            {"x-queue-type": "quorum", "x-delivery-limit": 100_000},
            (("referrals.suppression", ""),),
        ),
        "referrals.results": (
            SAFE | {"x-delivery-limit": 100_000, "x-dead-letter-exchange": "referrals.dead"},
            (("referrals.results", "#"),),
        ),
        **delays,
    }


def test_bindings_have_exchanges() -> None:
    """Every exchange that a queue is bound to, or that takes its dead letters, is declared."""
    names = {exchange.name for exchange in EXCHANGES}
    for queue in queues(["acme"]):
        assert {exchange for exchange, _ in queue.bindings} <= names
        assert queue.arguments.get("x-dead-letter-exchange", "referrals.dead") in names


@pytest.mark.parametrize(
    ("wait", "exchange"),
    [
        (-SECOND, "referrals.delay.1"),
        (0, "referrals.delay.1"),
        (SECOND, "referrals.delay.1"),
        (SECOND + 1, "referrals.delay.5"),
        (15 * SECOND, "referrals.delay.15"),
        (901 * SECOND, "referrals.delay.3600"),
        (3600 * SECOND, "referrals.delay.3600"),
        (86_400 * SECOND, "referrals.delay.3600"),
    ],
)
def test_delay_exchange(wait: int, exchange: str) -> None:
    """A wait takes the shortest delay that covers it; a longer one than the longest takes several hops."""
    assert delay_exchange(wait) == exchange


@pytest.mark.parametrize(
    ("wait", "milliseconds"),
    [(-5, "1"), (0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (SECOND, "1000"), (10**12, "3600000")],
)
def test_expiration(wait: int, milliseconds: str) -> None:
    """A message's own expiry is whole milliseconds, never short of the wait and never beyond the longest delay."""
    assert expiration(wait) == milliseconds


LONGEST_CODE = "customer_identity_partially_mismatches_matched_customer"


@pytest.mark.parametrize(
    ("shop", "outcome", "code", "share", "key"),
    [
        ("acme", "sent", None, True, "acme.sent.ok.share"),
        ("acme", "sent", None, False, "acme.sent.ok.plain"),
        ("acme", "failed", "http_503", False, "acme.failed.http_503.plain"),
        ("a-b_1", "rejected", "Not allowed: a.b#*", False, "a-b_1.rejected.Not_allowed__a_b__.plain"),
        ("s" * 63, "rejected", LONGEST_CODE, False, f"{'s' * 63}.rejected.{LONGEST_CODE}.plain"),
        ("acme", "rejected", "é" * 300, False, f"acme.rejected.{'_' * 64}.plain"),
    ],
)
def test_result_key(shop: str, outcome: Outcome, code: str | None, share: bool, key: str) -> None:
    """A result's routing key has four words whatever the code, with shop and documented codes in full."""
    assert result_key(shop, outcome, code, has_share_action=share) == key
    assert key.count(".") == 3
    assert len(key.encode()) <= 255
