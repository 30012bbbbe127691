"""Which dead letters the options of a command select."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer

from worker.cli.dead.commands import dead
from worker.cli.dead.selection import Selection, selection
from worker.errors import UsageError
from worker.model.job import Customer, Job
from worker.model.message import encode_message
from worker.rabbitmq.dead_letters import DeadLetter
from worker.rabbitmq.topology import REASON_HEADER

JOB = Job.create(shop="acme", campaign="spring", customer=Customer(shopid="1234"), channel="whatsapp")
LETTER = DeadLetter(
    tag=1,
    exchange="referrals.dead",
    routing_key="acme",
    headers={REASON_HEADER: "unknown_shop"},
    clear=True,
    body=encode_message(JOB, published_at_ms=0),
)
SELECTORS = ["reason", "shop", "campaign", "older_than", "newer_than"]


@pytest.mark.parametrize(
    ("chosen", "matches"),
    [
        pytest.param(Selection(), True, id="everything"),
        pytest.param(Selection(reason="unknown_shop"), True, id="its reason"),
        pytest.param(Selection(reason="crash_loop"), False, id="another reason"),
        pytest.param(Selection(ids=frozenset({LETTER.id})), True, id="its id"),
        pytest.param(Selection(ids=frozenset({JOB.job_id})), True, id="its job's id"),
        pytest.param(Selection(ids=frozenset({"0" * 12})), False, id="another id"),
        pytest.param(Selection(campaign="spring"), True, id="its campaign"),
        pytest.param(Selection(campaign="autumn"), False, id="another campaign"),
        pytest.param(Selection(reason="unknown_shop", campaign="autumn"), False, id="its reason, another campaign"),
        pytest.param(Selection(before=datetime.max.replace(tzinfo=UTC)), False, id="older, of unknown age"),
        pytest.param(Selection(since=datetime.min.replace(tzinfo=UTC)), False, id="newer, of unknown age"),
    ],
)
def test_a_letter_must_match_every_option(chosen: Selection, matches: bool) -> None:
    """One option that doesn't fit is enough; a letter of unknown age is neither older nor newer."""
    assert chosen.matches(LETTER) == matches


def test_times_count_backwards() -> None:
    """`--older-than 1h` means an hour before now; a campaign's name is compared as jobs carry it."""
    now = datetime.now(UTC)
    chosen = selection(older_than="1h", campaign=" spring ")
    assert chosen.before is not None
    assert timedelta(minutes=59) < now - chosen.before < timedelta(minutes=61)
    assert chosen.campaign == "spring"
    with pytest.raises(UsageError, match=r"^--campaign: is empty"):
        selection(campaign=" ")


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("list", ["limit", "as_json"]),
        ("show", ["limit", "reveal", "as_json"]),
        ("replay", ["every", "limit", "expires", "because", "author", "as_json"]),
        ("drop", ["every", "yes", "because", "author", "as_json"]),
    ],
)
def test_every_command_selects_alike(name: str, more: list[str]) -> None:
    """Each command has the same selectors, in front of its own options; only the list takes no ids."""
    group: Any = typer.main.get_command(dead)
    names = [param.name for param in group.commands[name].params if param.name != "help"]
    assert names == ([] if name == "list" else ["ids"]) + SELECTORS + more
