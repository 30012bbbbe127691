"""What a plan counts of the jobs."""

from collections import Counter
from collections.abc import Mapping

from worker.campaigns.rows import DraftJob
from worker.planning.collector import Collector


def job(number: int, shop: str = "acme", channel: str = "sms") -> DraftJob:
    return DraftJob(f"{number:032x}", number, number, shop, "", f"{number}", "", channel, "", "", "")


class Odd:
    """Predicts that jobs of odd lines find no customer."""

    def __init__(self) -> None:
        self.codes: Counter[str] = Counter()

    def add(self, job: DraftJob) -> None:
        self.codes["no_customers_match_customer_identity" if job.line % 2 else "sent"] += 1

    def finish(self) -> Mapping[str, int]:
        return self.codes


def test_jobs_are_counted_by_shop_and_channel() -> None:
    """Each job counts once, under its own shop and channel."""
    collector = Collector()
    collector.collect([(job(1), None), (job(2, channel="email"), None), (job(3, "globex"), None)])
    assert collector.to_call == {("acme", "sms"): 1, ("acme", "email"): 1, ("globex", "sms"): 1}
    assert collector.shops == {"acme": 2, "globex": 1}


def test_a_job_that_is_done_would_not_be_called() -> None:
    """One that the ledger has answered or is trying is not called again; one that ended without a call is."""
    collector = Collector()
    collector.collect([(job(1), "answered"), (job(2), "under_way"), (job(3), "expired"), (job(4), None)])
    assert collector.jobs == 4
    assert collector.shops == {"acme": 2}
    assert collector.known["answered"] == 1


def test_only_jobs_that_would_be_called_are_predicted() -> None:
    """What is done needs no prediction; without a predictor there is none."""
    collector = Collector(Odd())
    collector.collect([(job(1), "answered"), (job(2), None), (job(3), None)])
    assert collector.predicted() == {"sent": 1, "no_customers_match_customer_identity": 1}
    assert Collector().predicted() is None
