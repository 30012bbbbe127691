"""A wall: very many jobs of one customer ahead of everybody else's."""

from collections import Counter

from tests.integration.broker.bench import Bench, FakeRefer2, declare, message_of, new_job, new_shop
from tests.integration.broker.tap import Tap
from tests.services import RabbitMQ, Vhost, wait_until
from worker.broker.topology import JOBS, shop_queue

PER_SECOND = 100.0
BURST = 20
WALL = 300
OTHERS = {"slow": 1000, "draining": 0}


def test_a_wall_of_one_customer_hardly_slows_the_others(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """Behind 300 jobs of one customer 1,000 others keep 85 % of the shop's pace, at 1.5 deferrals a wall job at most.

    In `slow` the wall's customer may be called twice a second, so that the others are all there is to call; in
    `draining` 20 times and with few others, so that the whole wall comes back in time and is seen to the end.
    """
    shops = [
        new_shop("slow", per_second=PER_SECOND, burst=BURST, customer_per_second=2.0),
        new_shop("draining", per_second=PER_SECOND, burst=BURST, customer_per_second=20.0),
    ]
    declare(vhost, [shop.slug for shop in shops])
    for shop in shops:
        for number in range(WALL):
            tap.put(JOBS, shop.slug, message_of(new_job(number, shop.slug, customer="wall")))
        for number in range(OTHERS[shop.slug]):
            tap.put(JOBS, shop.slug, message_of(new_job(number, shop.slug)))
    refer = FakeRefer2()

    def stamps(shop: str, *, wall: bool) -> list[float]:
        calls = [call for call in list(refer.calls) if call.job.shop == shop]
        return [call.at for call in calls if (call.job.customer.shopid == "wall") is wall]

    with Bench(vhost, shops, refer, threads=16) as bench:
        wait_until(lambda: len(stamps("slow", wall=False)) == OTHERS["slow"], 25, "the others of slow")
        deferred_so_far = bench.count("deferrals", shop="slow")
        wait_until(lambda: len(stamps("draining", wall=True)) == WALL, 25, "the wall of draining")
        deferred = bench.count("deferrals", shop="draining")
        wait_until(lambda: rabbitmq.depths(vhost).get(shop_queue("draining")) == 0, 10, "an empty queue")

    others = stamps("slow", wall=False)
    print("DEF", deferred_so_far, deferred)
    assert (len(others) - BURST) / (others[-1] - others[0]) >= 0.85 * PER_SECOND
    assert WALL * 0.5 <= deferred_so_far <= 1.5 * WALL
    assert WALL * 0.5 <= deferred <= 1.5 * WALL

    # The wall keeps its customer's pace, and nobody goes beyond the limits.
    wall = stamps("draining", wall=True)
    print(wall[-1]-wall[0])
    assert (WALL - 20) / 20 * 0.98 <= wall[-1] - wall[0] <= WALL / 20 * 1.2
    everyone = sorted(others + stamps("slow", wall=True))
    assert max(Counter(int(at - everyone[0]) for at in everyone).values()) <= PER_SECOND + BURST + 16
    assert set(refer.per_job().values()) == {1}
