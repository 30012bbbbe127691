"""Jobs, shops and questions to the store, with everything that a test doesn't care about filled in."""

from datetime import UTC, datetime
from typing import Any, Protocol

from hypothesis import HealthCheck, settings

from worker.dispatch.results import write_result
from worker.instants import SECOND, from_datetime
from worker.limits.token_bucket import Rate, ShopLimits
from worker.model.job import Customer, Job
from worker.model.result import Result
from worker.model.verdicts import Found, Verdict
from worker.shops.config import ShopConfig, ShopTable
from worker.shops.credentials import SigningKey
from worker.store.protocol import AdmitRequest, AlreadyAnswered, Grant, ShopClosed, Wait

NOON = from_datetime(datetime(2026, 11, 2, 12, tzinfo=UTC))
"""When most tests begin: far from any day's end."""

LEASE = 20 * SECOND

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How properties are tested: that the machine is busy is no reason to fail."""

PLENTY = ShopLimits(
    shop=Rate.per_second(1000, 1000),
    shop_per_day=1_000_000,
    customer=Rate.per_second(1000, 1000),
    customer_per_day=1_000_000,
)
"""Limits that no test runs into by accident."""


def make_job(number: int = 1, **fields: Any) -> Job:
    """A job of the shop acme; each number has a customer, and so an id, of its own."""
    usual: dict[str, Any] = {
        "shop": "acme",
        "campaign": "spring",
        "customer": Customer(email=f"ann{number}@example.com"),
        "channel": "whatsapp",
        "line": number,
    }
    return Job.create(**{**usual, **fields})


def foreign_job(number: int = 1, **fields: Any) -> Job:
    """A job as :func:`make_job` makes it, with fields that only another producer gives one."""
    usual = make_job(number).model_dump(by_alias=True)
    job = Job.model_validate({**usual, **fields})
    return job.model_copy(update={"job_id": job.expected_id()})


def make_shop(slug: str = "acme", **table: Any) -> ShopConfig:
    """A shop that may be called a thousand times a second, for as long as the test says nothing else."""
    usual = {"per_second": 1000.0, "burst": 1000, "customer_per_second": 1000.0}
    return ShopConfig.of(slug, SigningKey("k1", b"s3cret"), ShopTable(**{**usual, **table}))


def make_limits(
    *,
    shop: Rate = PLENTY.shop,
    customer: Rate = PLENTY.customer,
    per_day: int = 10**6,
    customer_per_day: int = 10**6,
    reserve: int = 0,
    reserve_per_day: int = 0,
) -> ShopLimits:
    """Limits that are plenty but for what is given; the day resets at midnight."""
    return ShopLimits(shop, per_day, customer, customer_per_day, reserve=reserve, reserve_per_day=reserve_per_day)


def make_request(
    number: int = 1,
    *,
    shop: str = "acme",
    customer: str = "e:ann@example.com",
    limits: ShopLimits = PLENTY,
    place_in_line: int | None = None,
) -> AdmitRequest:
    """What a job asks the store; each number is another job."""
    return AdmitRequest(shop, customer, f"{number:032x}", limits, LEASE, place_in_line)


class Admits(Protocol):
    """The part of a store that grants calls."""

    def admit(self, request: AdmitRequest) -> Grant | ShopClosed | Wait | AlreadyAnswered: ...


def go(store: Admits, request: AdmitRequest) -> Grant:
    """The grant that the store has to give here."""
    reply = store.admit(request)
    assert isinstance(reply, Grant), reply
    return reply


def make_result(number: int = 1, outcome: str = "sent", **fields: Any) -> dict[str, Any]:
    """The result of the job of that number, as its parsed JSON; ``fields`` of a job make it another job's."""
    of_job = {name: fields.pop(name) for name in tuple(fields) if name in Job.model_fields}
    job = make_job(number, **of_job)
    link = f"https://shop.example.com/r/{number}"
    usual = {
        "outcome": outcome,
        "attempts": 1,
        "referral": {"referral_bhid": f"rf{number}", "link": link} if outcome == "sent" else None,
        "finished_at": "2026-11-02T12:00:00Z",
    }
    shared = job.model_dump(mode="json", exclude={"schema_version", "not_after"})
    result = Result.model_validate({**shared, **usual, **fields})
    # The vendor's, in which there may be lone surrogates: pydantic doesn't write those.
    as_they_came = {name: getattr(result, name) for name in ("message", "referral", "share_action")}
    written = result.model_dump(mode="json", exclude=set(as_they_came)) | as_they_came
    # In their documented order, and unknown ones behind.
    known = [field.alias or name for name, field in Result.model_fields.items()]
    return {name: written[name] for name in sorted(written, key=lambda name: [*known, name].index(name))}


def result_text(answer: Verdict | Found | None = None, **options: Any) -> str:
    """What a worker writes of a job whose call took a quarter of a second, up to noon; options as `write_result`."""
    usual = {"code": None, "attempts": 1, "called_at": NOON - SECOND // 4, "finished_at": NOON, "ahead": 0}
    job = options.pop("job", None) or make_job()
    return write_result(job, options.pop("outcome", "sent"), answer=answer, **(usual | options))
