"""Predicts by the provider's customer lists how Refer2 would judge each job's customer. Calls nobody for a job."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from worker.model.names import canonical
from worker.planning.customer_index import CustomerIndex, Match

CODES: Mapping[Match, str] = {
    "all": "sent",
    "none": "no_customers_match_customer_identity",
    "some": "customer_identity_partially_mismatches_matched_customer",
}
"""What a job ends with. Whether a shop's own rules reject a customer who matches, nobody can know before the call."""


class NamesCustomer(Protocol):
    """A job, or the draft of one: what it says about its customer. An id that is not given is empty."""

    @property
    def shop(self) -> str: ...
    @property
    def bhid(self) -> str: ...
    @property
    def shopid(self) -> str: ...
    @property
    def email(self) -> str: ...


class ShopCustomers(Protocol):
    """A shop's customers as bhid, shopid and email, to be iterated once; ``bad_lines`` of the list hold nobody."""

    @property
    def bad_lines(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[str, str, str]]: ...


class Matching:
    """Reads the list of each shop once, at its first job, which blocks for as long as the list takes. For one thread.

    ``read`` gives the list of a shop by its slug. What it or the list raises ends the prediction.
    """

    def __init__(self, read: Callable[[str], ShopCustomers]) -> None:
        self.warnings: list[str] = []
        """A line for each thing that makes predictions doubtful."""
        self._read = read
        self._shops: dict[str, CustomerIndex] = {}
        self._codes: Counter[str] = Counter()
        self._doubted: set[str] = set()

    def predict(self, job: NamesCustomer) -> str:
        """The code that the job would end with, ``sent`` or one of Refer2's."""
        index = self._shops.get(job.shop)
        if index is None:
            index = self._shops[job.shop] = self._index(job.shop)
        if canonical(job.shopid) and not index.with_shopid and index.customers and job.shop not in self._doubted:
            self._doubted.add(job.shop)
            self.warnings.append(
                f"shop {job.shop}: its customer list shows no shop ids, so what is predicted of rows with a shopid may "
                "be wrong"
            )
        return CODES[index.match(job.bhid, job.shopid, job.email)]

    def add(self, job: NamesCustomer) -> None:
        """Predict a job and count its code."""
        self._codes[self.predict(job)] += 1

    def finish(self) -> Mapping[str, int]:
        """How many jobs would end with each code, those with the most first."""
        return dict(self._codes.most_common())

    def _index(self, shop: str) -> CustomerIndex:
        index = CustomerIndex()
        customers = self._read(shop)
        for bhid, shopid, email in customers:
            index.add(bhid, shopid, email)
        if not index.customers:
            self.warnings.append(f"shop {shop}: its customer list is empty")
        if customers.bad_lines:
            lines = f"{customers.bad_lines:,} line{'s' * (customers.bad_lines > 1)}"
            self.warnings.append(
                f"shop {shop}: {lines} of its customer list can't be read, so as many customers may be missing in what "
                "is predicted"
            )
        return index
