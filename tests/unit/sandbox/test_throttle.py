"""The four limits: in virtual time, and once over HTTP."""

import time

import jwt
import pytest
import requests

from worker.clock import ManualClock
from worker.instants import DAY, SECOND
from worker.limits.token_bucket import ShopLimits
from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET, SandboxConfig, make_limits
from worker.sandbox.responses import RefusedError
from worker.sandbox.server import RunningSandbox
from worker.sandbox.throttle import Throttle

NOW = 20_000 * DAY
VENDOR = make_limits()


def outcome(throttle: Throttle, now: int, customer: str = "jane", shop: str = "acme") -> float | RefusedError:
    """Seconds of delay, or the refusal."""
    try:
        return (throttle.admit(shop, customer, now) - now) / SECOND
    except RefusedError as refused:
        return refused


def refusal(throttle: Throttle, now: int, customer: str = "jane") -> RefusedError:
    result = outcome(throttle, now, customer)
    assert isinstance(result, RefusedError)
    return result


def test_a_customer_over_the_limit_is_delayed_up_to_5_seconds_and_then_refused() -> None:
    """Two calls at once go through, ten are delayed by half a second more each, the next is a 429."""
    throttle = Throttle(VENDOR, 5 * SECOND)
    delays = [outcome(throttle, NOW) for _ in range(12)]
    refused = refusal(throttle, NOW)
    assert delays == [0, 0, *(half / 2 for half in range(1, 11))]
    assert (refused.status, refused.code, refused.retry_after) == (429, "rate_limit_exceeded", 6)
    assert refused.message.endswith("2 writes per second for this customer")


def test_a_refused_call_is_not_counted() -> None:
    """However often a customer is refused, the delay doesn't grow by it."""
    throttle = Throttle(VENDOR, 5 * SECOND)
    for _ in range(100):
        outcome(throttle, NOW)
    assert outcome(throttle, NOW + SECOND // 2) == 5


def test_a_shop_over_the_limit_is_delayed_and_then_refused() -> None:
    """100 calls a second of different customers go through at once, 500 more are held back, then it is a 429."""
    throttle = Throttle(VENDOR, 5 * SECOND)
    delays = [outcome(throttle, NOW, f"customer-{number}") for number in range(600)]
    refused = refusal(throttle, NOW, "one too many")
    assert delays[:100] == [0] * 100
    assert delays[100:] == [number / 100 for number in range(1, 501)]
    assert refused.retry_after == 6
    assert refused.message.endswith("100 writes per second for this shop")


def test_a_delayed_customer_does_not_delay_the_shops_others() -> None:
    """What waits for a customer's bucket leaves the shop's bucket open to other customers."""
    throttle = Throttle(VENDOR, 5 * SECOND)
    for _ in range(12):
        outcome(throttle, NOW)
    assert outcome(throttle, NOW, "joe") == 0


def test_another_shops_customer_of_the_same_id_is_another_customer() -> None:
    """Limits are counted within a shop."""
    throttle = Throttle(VENDOR, 0)
    assert [outcome(throttle, NOW, shop=shop) for shop in ("acme", "acme", "other", "other")] == [0] * 4


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (make_limits(customer_per_day=3), "3 writes per day for this customer"),
        (make_limits(per_day=3), "3 writes per day for this shop"),
    ],
)
def test_a_day_limit_refuses_at_once_until_the_day_ends(limits: ShopLimits, text: str) -> None:
    """Past a day limit there is no delay but a 429 until the reset, when the count starts anew."""
    throttle = Throttle(limits, 5 * SECOND)
    noon = NOW + DAY // 2
    delays = [outcome(throttle, noon + second * SECOND) for second in range(3)]
    refused = refusal(throttle, noon + 3 * SECOND)
    assert delays == [0, 0, 0]
    assert refused.retry_after == 12 * 3600 - 3
    assert refused.message.endswith(text)
    assert outcome(throttle, NOW + DAY) == 0


def test_the_day_ends_when_it_is_said_to() -> None:
    """The reset of the day is a setting."""
    throttle = Throttle(make_limits(customer_per_day=1, resets_at=6 * 3600 * SECOND), 0)
    assert outcome(throttle, NOW) == 0
    assert refusal(throttle, NOW + SECOND).retry_after == 6 * 3600 - 1


def test_retry_after_is_enough() -> None:
    """A caller that waits as long as `Retry-After` says is let through."""
    throttle = Throttle(make_limits(customer_per_second=0.7), SECOND)
    while not isinstance(result := outcome(throttle, NOW), RefusedError):
        pass
    assert result.retry_after is not None
    assert outcome(throttle, NOW + result.retry_after * SECOND) == 0


def test_a_call_over_the_limit_is_held_back_and_the_next_one_answered_429() -> None:
    """Over HTTP: the third call at once waits its half second, the fourth gets a 429 with Retry-After."""
    config = SandboxConfig(max_delay=SECOND // 2)
    bearer = jwt.encode({"aud": "BH", "sub": "acme"}, SANDBOX_SECRET, "HS256", headers={"kid": SANDBOX_KEY_ID})
    answers, seconds = [], []
    with RunningSandbox(config, ManualClock(NOW)) as sandbox:
        for _ in range(4):
            start = time.monotonic()
            answers.append(
                requests.post(
                    f"{sandbox.url}/api/v2023061/acme/Refer2",
                    json={"customer": {"shopid": "1"}, "channel": "sms"},
                    headers={"Authorization": f"Bearer {bearer}"},
                    timeout=10,
                )
            )
            seconds.append(time.monotonic() - start)
        calls = sandbox.calls()
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].headers["Retry-After"] == "1"
    assert answers[3].json()["id"] == "rate_limit_exceeded"
    assert "per second for this customer" in answers[3].json()["message"]
    assert seconds[2] >= 0.49
    assert [call.delayed_seconds for call in calls] == [0, 0, 0.5, 0]
