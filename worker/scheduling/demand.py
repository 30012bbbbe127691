"""How many jobs a second of a shop limits would let run, as one process can tell. Pure.

Worker pods share shops, and each holds only what RabbitMQ has handed it: up to its prefetch of every shop. What a
process says of a shop is therefore a bound that all share, never a part to be added up: the most that any says is what
the fleet could run of it. Whoever adds shops up takes that maximum first.
"""

FULL = 0.75
"""The share of the prefetch in hand from which more is taken to lie in the queue behind: confirms that are on their way
hold the rest."""


def runnable_jobs_per_second(rate: float, *, ready: int, in_flight: int, set_aside: int, prefetch: int) -> float:
    """What of an open shop could run in the next second, with threads enough.

    ``rate`` is its pace in calls a second; ``ready`` jobs wait only for their shop's turn, ``set_aside`` ones for their
    customers', ``in_flight`` ones are being called. With hands full there is more behind, and its pace decides; else
    there is no more than what is ready here. Nothing is asked for jobs that only wait for their customers.
    """
    if not ready and not in_flight:
        return 0.0
    if ready + in_flight + set_aside >= FULL * prefetch:
        return rate
    return min(rate, float(ready))
