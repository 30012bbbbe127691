"""Makes the jobs of a simulated shop, each when it is delivered and not before."""

from worker.instants import SECOND
from worker.model.job import Job
from worker.shops.config import ShopConfig
from worker.simulator.port import Ticket, job_like
from worker.simulator.scenario import Load
from worker.store.protocol import AdmitRequest

LEASE = 20 * SECOND


class Tickets:
    """A shop's jobs by their numbers; ``shop`` is its own number, and ``begin`` when the simulation begins."""

    def __init__(self, config: ShopConfig, load: Load, shop: int, begin: int) -> None:
        self._config = config
        self._load = load
        self._shop = shop
        self._begin = begin + load.after

    def bulk(self, number: int) -> Ticket:
        """A job of the shop's own queue; those ahead are the first."""
        load = self._load
        own = number - load.ahead
        customer = "" if own < 0 else f"c{own}" if load.customer_of is None else load.customer_of(own)
        campaign = load.campaign_of(number) if load.campaign_of is not None else ""
        request = AdmitRequest(
            self._config.slug,
            customer,
            f"{self._shop:016x}{number:016x}",
            self._config.limits,
            LEASE,
            campaign=campaign,
        )
        rejected = load.is_rejected is not None and load.is_rejected(number)
        job = self._job(number, campaign)
        return Ticket(job, request, self._begin, "bulk", ahead=own < 0, rejected=rejected)

    def held(self, number: int) -> Ticket:
        """A job that was published into the held lane: they are the last ones."""
        ticket = self.bulk(self._load.ahead + self._load.jobs - self._load.aside + number)
        ticket.lane = "held"
        return ticket

    def urgent(self, number: int) -> Ticket:
        """An urgent job."""
        job_id = f"{self._shop:016x}{1 << 63 | number:016x}"
        request = AdmitRequest(self._config.slug, f"u{number}", job_id, self._config.limits, LEASE, urgent=True)
        return Ticket(job_like("sms", None), request, self._begin + number * self._load.urgent[1], "urgent")

    def _job(self, number: int, campaign: str) -> Job:
        load = self._load
        channel = load.channel_of(number) if load.channel_of is not None else "sms"
        if campaign:
            return job_like(channel, load.window, self._config.slug, campaign)
        return job_like(channel, load.window)
