"""`worker.publish`: all jobs confirmed, or an error that says what is the matter."""

import json
from datetime import UTC, datetime

import pytest

from tests.integration.rabbitmq.bench import CAMPAIGN, declare, new_job
from tests.integration.rabbitmq.tap import Tap, await_listing, disconnect, limit
from tests.services import RabbitMQ, Vhost, wait_until
from worker import publish
from worker.errors import BrokerError, ConfigurationError, UnroutableError
from worker.model.message import decode_message
from worker.rabbitmq.connection import Parameters
from worker.rabbitmq.producer import Producer
from worker.rabbitmq.topology import shop_queue


def test_a_batch_is_confirmed_and_arrives_in_order(vhost: Vhost, tap: Tap) -> None:
    """2,500 jobs (several windows of confirms) are counted, keep their order per shop and carry their id."""
    declare(vhost, ["acme", "bolt"])
    jobs = [new_job(number, shop=("acme", "bolt")[number % 2]) for number in range(2500)]

    assert publish(jobs, amqp_url=vhost.url) == 2500

    for shop in ("acme", "bolt"):
        letters = tap.take(shop_queue(shop), 1250, 20)
        sent = [job.job_id for job in jobs if job.shop == shop]
        assert [decode_message(letter.body).job_id for letter in letters] == sent
        assert [letter.properties.message_id for letter in letters] == sent
        assert {letter.properties.delivery_mode for letter in letters} == {2}
        assert decode_message(letters[0].body).published_at is not None


def test_an_unknown_channel_is_told_and_sent(vhost: Vhost) -> None:
    """It may be new; each gets one warning, as from the commands, and one that may be an address is not shown."""
    declare(vhost)
    jobs = [new_job(1), *(new_job(number, customer=f"c{number}") for number in (2, 3))]
    jobs.append(jobs[1].model_copy(update={"customer": jobs[2].customer}))
    jobs.append(jobs[1].model_copy(update={"channel": "anna@example.com"}))
    jobs = [job.model_copy(update={"job_id": job.expected_id()}) for job in jobs]
    with pytest.warns(UserWarning, match="unknown here") as warned:
        assert publish(jobs, amqp_url=vhost.url) == 5
    assert [str(warning.message) for warning in warned] == [
        "a channel 'custom-2' is unknown here and is sent as it is",
        "a channel 'custom-3' is unknown here and is sent as it is",
        "a channel that is no plain word is unknown here and is sent as it is",
    ]
    assert {warning.filename for warning in warned} == {__file__}


def test_jobs_past_their_deadline_are_told(vhost: Vhost, params: Parameters) -> None:
    """They are published like any other, and the producer knows how many no worker will call."""
    declare(vhost)
    deadlines = (None, datetime(2020, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC))
    jobs = [new_job(number).model_copy(update={"not_after": end}) for number, end in enumerate(deadlines)]
    with Producer(params) as producer:
        for job in jobs:
            producer.send(job)
        producer.flush()
    assert (producer.confirmed, producer.late) == (3, 1)


def test_the_message_is_as_documented(vhost: Vhost, tap: Tap) -> None:
    """The envelope has the documented keys, and the job in it the documented fields."""
    declare(vhost)
    job = new_job(1)
    publish([job], amqp_url=vhost.url)
    letter = tap.take(shop_queue("acme"), 1, 5)[0]
    message = json.loads(letter.body)
    stamp, published_at = message.pop("message_timestamp"), message["kwargs"]["job"].pop("published_at")
    assert stamp == letter.properties.timestamp * 1000 + stamp % 1000
    assert published_at.endswith("Z")
    assert message == {
        "queue_name": "referrals",
        "actor_name": "refer",
        "args": [],
        "kwargs": {
            "job": {
                "schema": 1,
                "job_id": job.job_id,
                "campaign": CAMPAIGN,
                "shop": "acme",
                "run": 0,
                "line": 1,
                "customer": {"shopid": "c1"},
                "channel": "whatsapp",
            }
        },
        "options": {},
        "message_id": job.job_id,
    }


def test_nothing_to_publish_is_fine(vhost: Vhost) -> None:
    """No jobs: none confirmed, no error, nothing needs to be declared."""
    assert publish([], amqp_url=vhost.url) == 0


def test_a_shop_without_a_queue_is_named_with_the_remedy(vhost: Vhost) -> None:
    """The error says which shop has no queue and how it gets one."""
    declare(vhost)
    jobs = [new_job(1), new_job(2, shop="nobody"), new_job(3)]
    with pytest.raises(UnroutableError, match=r"^shop nobody has no queue: .*`referrals publish`"):
        publish(jobs, amqp_url=vhost.url)


def test_an_undeclared_virtual_host_is_named(vhost: Vhost) -> None:
    """Where nothing was ever declared the error comes after the time-out and names the missing exchange."""
    with pytest.raises(BrokerError, match=r"confirmed nothing for 1 s .*no exchange 'referrals'"):
        publish([new_job(1)], amqp_url=vhost.url, timeout=1)


def test_a_full_queue_is_an_error(rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """A shop's queue that an operator bounded and that is full refuses jobs loudly."""
    declare(vhost)
    limit(rabbitmq, vhost, "referrals.shop.acme", **{"max-length": 1})

    def refused() -> str:
        try:
            publish([new_job(1)], amqp_url=vhost.url)
        except BrokerError as error:
            return str(error)
        return ""

    assert "its queue is full" in wait_until(refused, 10, "a refusal")


def test_a_closed_connection_loses_no_job(rabbitmq: RabbitMQ, vhost: Vhost, params: Parameters, tap: Tap) -> None:
    """RabbitMQ closes the producer's connection in the middle: every job is confirmed and arrives."""
    declare(vhost)
    jobs = [new_job(number) for number in range(3000)]
    with Producer(params) as producer:
        await_listing(rabbitmq, vhost, "tested")
        for number, job in enumerate(jobs):
            producer.send(job)
            if number == 1500:
                disconnect(rabbitmq, vhost, "tested")
        producer.flush()
        assert producer.confirmed == 3000
    letters = tap.take(shop_queue("acme"), 3000, 20, distinct=True)
    assert {letter.properties.message_id for letter in letters} == {job.job_id for job in jobs}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("guest:guest", "guest:wrong-s3cret"), "refuses user or password"),
        (("guest:guest", "nobody:wrong-s3cret"), "refuses user or password"),
        (("/test-", "/absent-"), "refuses the vhost"),
    ],
    ids=["password", "user", "vhost"],
)
def test_a_refused_login_is_told_at_once_without_the_password(vhost: Vhost, change: tuple[str, str], told: str) -> None:
    """What RabbitMQ refuses at login is one line that names host and setting but no password."""
    with pytest.raises(BrokerError, match=f"{told}.*REFERRALS_AMQP_URL") as caught:
        publish([new_job(1)], amqp_url=vhost.url.replace(*change))
    assert "s3cret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_an_unusable_url_is_a_matter_of_configuration(vhost: Vhost) -> None:
    """A URL that is none is refused before anything is tried, without showing the password."""
    with pytest.raises(ConfigurationError, match="REFERRALS_AMQP_URL") as caught:
        publish([new_job(1)], amqp_url="http://me:s3cret@127.0.0.1/")
    assert "s3cret" not in str(caught.value)
