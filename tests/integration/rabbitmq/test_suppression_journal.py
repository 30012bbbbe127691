"""The length of the journal: what RabbitMQ says of a queue without a leader passes for no length."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from tests.integration.rabbitmq.bench import Bench, FakeRefer2, declare, message_of, new_job, new_shop
from tests.integration.rabbitmq.roles import Roles
from tests.integration.rabbitmq.tap import Tap
from tests.services import RabbitMQ, Vhost, wait_until
from worker.errors import BrokerError
from worker.rabbitmq.channel import ShopChannel
from worker.rabbitmq.connection import Parameters, connect, parameters
from worker.rabbitmq.journal_question import JournalQuestion
from worker.rabbitmq.queue_inspection import certain_length
from worker.rabbitmq.suppression_journal import SuppressionJournal, journal_length
from worker.rabbitmq.topology import JOBS, RESULTS, SUPPRESSION, queues

CHANGES = 3


@pytest.fixture
def channel(params: Parameters) -> Iterator[ShopChannel]:
    """A worker's."""
    made = ShopChannel(params, prefetch=1, single=False, on_message=lambda *_: None)
    yield made
    made.close()


@contextmanager
def leaderless(rabbitmq: RabbitMQ, vhost: Vhost) -> Iterator[None]:
    """The journal as it is while a cluster starts: there, and without anybody who knows what is in it."""
    server = f"{{'{vhost.name}_{SUPPRESSION}', node()}}"
    rabbitmq.ctl("eval", f"ra:stop_server(quorum_queues, {server}).")
    try:
        yield
    finally:
        rabbitmq.ctl("eval", f"ra:restart_server(quorum_queues, {server}).")


def fill(vhost: Vhost, tap: Tap) -> None:
    """The journal with some changes."""
    declare(vhost)
    for number in range(CHANGES):
        tap.put(SUPPRESSION, "*", b"%d" % number)


def test_nobody_takes_a_journal_without_a_leader_for_an_empty_one(
    rabbitmq: RabbitMQ, vhost: Vhost, params: Parameters, tap: Tap, channel: ShopChannel
) -> None:
    """A worker doesn't connect before there is one, and no command counts; then both find all changes."""
    fill(vhost, tap)
    with leaderless(rabbitmq, vhost):
        assert tap.depth(SUPPRESSION) == 0, "RabbitMQ knows better by now: this test shows nothing"
        with pytest.raises(BrokerError, match=r"referrals\.suppression"):
            channel.open(queues(()))
        with SuppressionJournal(params) as journal, pytest.raises(BrokerError):
            journal.length()
        with pytest.raises(BrokerError):
            journal_length(params)
    channel.open(queues(()))
    assert (channel.journal, journal_length(params)) == (CHANGES, CHANGES)


def test_an_empty_journal_is_known_to_be_empty(vhost: Vhost, params: Parameters, channel: ShopChannel) -> None:
    """Where nobody was ever suppressed, as in most installations, all connect at once."""
    declare(vhost)
    channel.open(queues(()))
    assert (channel.journal, journal_length(params)) == (0, 0)


def test_what_others_look_at_counts(vhost: Vhost, params: Parameters, tap: Tap) -> None:
    """After an outage many ask at once, each by a message that it holds for a moment: nobody misses it meanwhile."""
    fill(vhost, tap)
    held = [tap.channel.basic_get(SUPPRESSION)[0].delivery_tag for _ in range(CHANGES)]
    assert tap.depth(SUPPRESSION) == 0
    counted: list[int] = []
    asking = threading.Thread(target=lambda: counted.append(journal_length(params)))
    asking.start()
    time.sleep(0.5)  # that it waits can only be watched
    assert not counted
    for tag in held:
        tap.channel.basic_nack(tag)
    asking.join(10)
    assert counted == [CHANGES]


def test_messages_that_others_keep_are_no_empty_journal(vhost: Vhost, params: Parameters, tap: Tap) -> None:
    """Somebody consumes the queue: its changes can't be counted, and this is said."""
    fill(vhost, tap)
    tap.channel.basic_consume(SUPPRESSION, lambda *_: None)
    connection = connect(params)
    with pytest.raises(BrokerError, match=r"referrals\.suppression: others hold its messages"):
        certain_length(connection, SUPPRESSION, patience=0.2)
    connection.close()


def test_messages_that_others_hold_are_counted_too(vhost: Vhost, params: Parameters, tap: Tap) -> None:
    """A restore reads the journal from its beginning: what it holds is not gone."""
    fill(vhost, tap)
    method, _, _ = tap.channel.basic_get(SUPPRESSION)
    connection = connect(params)
    with pytest.raises(BrokerError, match=r"referrals\.suppression: others hold its messages"):
        certain_length(connection, SUPPRESSION, patience=0.2)
    tap.channel.basic_nack(method.delivery_tag)
    assert certain_length(connection, SUPPRESSION) == CHANGES
    connection.close()


def test_an_answer_is_for_the_latest_doubt(rabbitmq: RabbitMQ, vhost: Vhost, as_role: Roles) -> None:
    """Also where it began while RabbitMQ was being asked again and again."""
    declare(vhost)
    user = as_role("worker", configure="", write="", read="")
    question = JournalQuestion(parameters(user.url, name="tested"), lambda: None)
    with capture_logs() as logs:
        question.ask(1)
        wait_until(lambda: logs, 20, "an attempt without an answer")
        question.ask(2)
        rabbitmq.api(
            "PUT",
            f"/api/permissions/{vhost.name}/{urlsplit(user.url).username}",
            {"configure": "", "write": "", "read": ".*"},
        )
        wait_until(lambda: question.answers, 20, "the answer")
    assert question.take() == (0, 2)


def test_a_worker_asks_when_its_store_may_have_lost_its_lists(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """Nobody is called before it knows, while the result of the call under way goes out; then all or nobody is."""
    declare(vhost)
    refer = FakeRefer2(hold_from=1)
    with Bench(vhost, [new_shop()], refer, threads=1) as bench:
        for number in range(2):
            tap.put(JOBS, "acme", message_of(new_job(number)))
        wait_until(lambda: len(refer.calls) == 1, 20, "a call under way")
        with leaderless(rabbitmq, vhost):
            bench.store.generation = 1
            wait_until(lambda: "suppression" in bench.closed("acme"), 5, "the doubt")
            refer.release()
            assert len(tap.take(RESULTS, 1, 5)) == 1
            assert len(refer.calls) == 1
        wait_until(lambda: len(refer.calls) == 2, 60, "the other call")
        # A change of which it has heard nothing, and which its store has not.
        tap.put(SUPPRESSION, "*", b"1")
        bench.store.generation = 2
        wait_until(lambda: "suppression" in bench.closed("acme"), 5, "the next doubt")
        tap.put(JOBS, "acme", message_of(new_job(3)))
        wait_until(
            lambda: bench.count("unready", part="suppression", reason="lost") == 1, 10, "the journal to be known"
        )
        assert (len(refer.calls), bench.closed("acme")) == (2, {"suppression"})
