"""What a dispatch is about: a job, the shop as it is now, and the grant to call."""

from dataclasses import dataclass

from worker.model.job import Job
from worker.shops.config import ShopConfig
from worker.store.protocol import AdmitRequest, Grant


@dataclass(slots=True)
class GrantedJob:
    """One job for the length of its dispatch; belongs to the worker thread that runs it.

    ``probing``, ``ends_if_refused`` and ``waits_alone`` are as :meth:`worker.dispatch.dispatcher.Dispatcher.dispatch`
    takes them.
    """

    job: Job
    shop: ShopConfig
    request: AdmitRequest
    grant: Grant
    probing: bool
    ends_if_refused: bool
    waits_alone: bool

    @property
    def verifies(self) -> bool:
        """Whether a lost answer of this job is looked up among its customer's referrals."""
        # Refer2 refuses a job that names no customer, however often it is called, and there is nobody to ask about.
        return self.shop.on_unknown == "verify" and bool(self.request.customer)
