"""Windows over a real RabbitMQ: e-mails wait out of the way until theirs opens, and none is called outside."""

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tests.integration.rabbitmq.bench import SENT, Bench, ShiftedClock, declare, message_of, new_job, new_shop
from tests.integration.rabbitmq.tap import Tap
from tests.services import RabbitMQ, Vhost, wait_until
from worker.instants import SECOND, from_datetime
from worker.model.job import Customer, Job
from worker.model.verdicts import Verdict
from worker.model.windows import MARGIN
from worker.rabbitmq.topology import JOBS, shop_queue
from worker.shops.config import ShopConfig

VIENNA = ZoneInfo("Europe/Vienna")
OFFICE = "Mon-Fri 09:00-18:00 Europe/Vienna"
MONDAY = datetime(2027, 3, 29, tzinfo=VIENNA)
"""The day after a change of the clock. Far ahead of now: a shifted clock runs no lease or limit backwards."""
OPENING = from_datetime(MONDAY + timedelta(hours=9)) + MARGIN
CLOSING = from_datetime(MONDAY + timedelta(hours=18)) - MARGIN


class Calls:
    """Notes each call with the worker's own time."""

    def __init__(self, clock: ShiftedClock) -> None:
        self._clock = clock
        self.made: list[tuple[int, Job]] = []

    def __call__(self, _shop: ShopConfig, job: Job) -> Verdict:
        self.made.append((self._clock.now(), job))
        return SENT

    def of(self, channel: str) -> list[tuple[int, int | None]]:
        """When those of a channel were made, and for which lines."""
        return [(at, job.line) for at, job in list(self.made) if job.channel == channel]


def at(instant: int) -> ShiftedClock:
    """A clock that shows that instant now."""
    clock = ShiftedClock()
    clock.shift = instant - clock.now()
    return clock


def email(number: int) -> Job:
    return Job.create(
        shop="acme",
        campaign="spring",
        customer=Customer(shopid=f"c{number}"),
        channel="email",
        destination=f"friend{number}@example.com",
        line=number,
    )


def publish(tap: Tap, make: Callable[[int], Job], numbers: range) -> None:
    for number in numbers:
        tap.put(JOBS, "acme", message_of(make(number)))


def test_others_pass_the_emails_that_wait_for_an_opening_within_seconds(vhost: Vhost, tap: Tap) -> None:
    """Behind 300 e-mails, many times the prefetch, all others are called before it; the e-mails after, each once."""
    declare(vhost)
    publish(tap, email, range(300))
    publish(tap, new_job, range(300, 400))
    clock = at(OPENING - 8 * SECOND)
    calls = Calls(clock)
    with Bench(vhost, [new_shop(window=OFFICE)], calls, clock=clock):
        wait_until(lambda: len(calls.of("whatsapp")) == 100, 8, "the other channel's calls")
        assert clock.now() < OPENING
        wait_until(lambda: len(calls.of("email")) == 300, 20, "the e-mails' calls")
    assert min(when for when, _ in calls.of("email")) >= OPENING
    assert sorted(line for _, line in calls.of("email") if line is not None) == list(range(300))
    assert sorted(line for _, line in calls.of("whatsapp") if line is not None) == list(range(300, 400))


def test_no_call_starts_once_the_window_has_closed(vhost: Vhost, tap: Tap) -> None:
    """What is left by then is in the held lane, and none of it lost."""
    declare(vhost)
    publish(tap, email, range(300))
    clock = at(CLOSING - 3 * SECOND)
    calls = Calls(clock)

    with Bench(vhost, [new_shop(window=OFFICE, per_second=40.0, burst=1)], calls, clock=clock):
        wait_until(lambda: clock.now() > CLOSING and not tap.depth(shop_queue("acme")), 20, "them to be out of the way")

    def left() -> int:
        return tap.depth(shop_queue("acme", "held")) + tap.depth(shop_queue("acme", "bulk"))

    # RabbitMQ requeues what a worker had in hand some time after the connection has ended.
    wait_until(lambda: len(calls.made) + left() == 300, 10, "what was in hand to be back")
    assert tap.depth(shop_queue("acme", "held")) > 100
    made = calls.of("email")
    # 40 a second for three seconds, less what connecting took.
    assert 0 < len(made) <= 121
    assert max(when for when, _ in made) < CLOSING
    assert len({line for _, line in made}) == len(made)


def test_a_shop_that_keeps_hours_as_a_whole_is_not_consumed_meanwhile(
    rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap
) -> None:
    """Its jobs stay in its queue, and go in their order once it opens."""
    declare(vhost)
    publish(tap, email, range(60))
    clock = at(CLOSING + SECOND)
    calls = Calls(clock)
    shop = new_shop(window=OFFICE, window_channels=["*"], max_in_flight=1)
    with Bench(vhost, [shop], calls, clock=clock) as bench:
        wait_until(lambda: bench.closed("acme") == {"window"}, 10, "the shop to be closed")
        wait_until(lambda: bench.in_hand() == 0, 10, "its jobs to be requeued")
        wait_until(lambda: rabbitmq.depths(vhost).get(shop_queue("acme")) == 60, 10, "its jobs in its queue")
        assert calls.made == []
        clock.shift += OPENING + 24 * 3600 * SECOND - clock.now()
        wait_until(lambda: len(calls.made) == 60, 20, "its calls")
    assert [line for _, line in calls.of("email")] == list(range(60))
