"""The four limits as the vendor applies them: first a delay, then 429. Pure."""

from dataclasses import dataclass

from worker.instants import SECOND
from worker.limits.token_bucket import Limited, Rate, ShopLimits, Taken, day_of, next_reset, try_take
from worker.sandbox.responses import RefusedError


@dataclass(slots=True)
class _Meter:
    # `tat`: the theoretical arrival time of GCRA, as in worker.limits.token_bucket.
    tat: int = 0
    day: int = 0
    used_today: int = 0


class Throttle:
    """Counts the calls of every shop and customer. It says how long to hold a call back, and does not wait itself.

    ``max_delay`` is in microseconds. Refused calls are not counted. For one thread.
    """

    def __init__(self, limits: ShopLimits, max_delay: int) -> None:
        self._limits = limits
        self._max_delay = max_delay
        self._shops: dict[str, _Meter] = {}
        self._customers: dict[tuple[str, str], _Meter] = {}

    def admit(self, shop: str, customer: str, now: int) -> int:
        """Count a call and return the instant until which it is held back: ``now`` if it isn't.

        Raises:
          RefusedError: 429 `rate_limit_exceeded` with the scope in its message.
        """
        limits = self._limits
        of_customer = self._customers.setdefault((shop, customer), _Meter())
        of_shop = self._shops.setdefault(shop, _Meter())
        self._check_day(of_customer, limits.customer_per_day, "customer", now)
        self._check_day(of_shop, limits.shop_per_day, "shop", now)
        # Each bucket is charged at its own time. Charged at the later one, a customer's delay would also use up the
        # shop's tokens of that time.
        customer_turn = self._ask(of_customer, limits.customer, "customer", now)
        shop_turn = self._ask(of_shop, limits.shop, "shop", now)
        for meter, turn in ((of_customer, customer_turn), (of_shop, shop_turn)):
            meter.tat = turn.tat
            meter.used_today += 1
        return max(customer_turn.at, shop_turn.at)

    def _check_day(self, meter: _Meter, per_day: int, scope: str, now: int) -> None:
        today = day_of(now, self._limits.resets_at)
        if meter.day != today:
            meter.day, meter.used_today = today, 0
        if meter.used_today >= per_day:
            raise _refused(per_day, f"per day for this {scope}", next_reset(now, self._limits.resets_at) - now)

    def _ask(self, meter: _Meter, rate: Rate, scope: str, now: int) -> Taken:
        turn = try_take(meter.tat, now, rate, horizon=self._max_delay)
        if isinstance(turn, Limited):
            until = now if turn.until is None else turn.until
            raise _refused(SECOND / rate.interval, f"per second for this {scope}", until - now)
        return turn


def _refused(number: float, what: str, wait: int) -> RefusedError:
    # Rounded up: a caller that comes back a moment too early would be refused again.
    seconds = max(1, -(-wait // SECOND))
    return RefusedError(429, "rate_limit_exceeded", f"Over the limit of {number:.6g} writes {what}", seconds)
