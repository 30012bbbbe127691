"""A wall: very many jobs of one customer ahead of everybody else's."""

from tests.integration.rabbitmq.bench import Bench, FakeRefer2, declare, message_of, new_job, new_shop
from tests.integration.rabbitmq.tap import Tap
from tests.services import Vhost, wait_until
from worker.rabbitmq.topology import JOBS

PER_SECOND = 100.0
BURST = 20
CUSTOMER_PER_SECOND = 2.0
WALL = 300
OTHERS = 1000


def test_a_wall_of_one_customer_hardly_slows_the_others(vhost: Vhost, tap: Tap) -> None:
    """Behind 300 jobs of one customer 1,000 others keep 85 % of the shop's pace.

    Until they are done each job of the wall is deferred 1.5 times at most, and its customer's limit holds.
    """
    declare(vhost)
    for number in range(WALL):
        tap.put(JOBS, "acme", message_of(new_job(number, customer="wall")))
    for number in range(OTHERS):
        tap.put(JOBS, "acme", message_of(new_job(number)))
    refer = FakeRefer2()
    shop = new_shop(per_second=PER_SECOND, burst=BURST, customer_per_second=CUSTOMER_PER_SECOND)

    def stamps(*, wall: bool) -> list[float]:
        return [call.at for call in list(refer.calls) if (call.job.customer.shopid == "wall") is wall]

    with Bench(vhost, [shop], refer, threads=16) as bench:
        wait_until(lambda: len(stamps(wall=False)) == OTHERS, 25, "the others")
        deferrals = bench.count("deferrals", shop="acme")

    others, wall = stamps(wall=False), stamps(wall=True)
    seconds = others[-1] - others[0]
    assert (OTHERS - BURST) / seconds >= 0.85 * PER_SECOND
    assert WALL * 0.5 <= deferrals <= 1.5 * WALL
    # A call may start as much as 250 ms after its grant, which makes the first and the last of them look closer.
    assert 0 < len(wall) <= CUSTOMER_PER_SECOND * (wall[-1] - wall[0] + 0.25) + 2
    assert set(refer.per_job().values()) == {1}
