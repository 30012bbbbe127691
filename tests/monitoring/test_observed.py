"""The rules over real pages: silent while all is well, each alert fires on its fault, each recorded series has data."""

import re

import pytest

from tests.monitoring import observatory as faults
from tests.monitoring.dashboards import filled_in, questions
from tests.monitoring.observatory import LABELS, Fault, Observatory
from tests.monitoring.rules import ALERTS, RECORDED
from tests.services import promtool

PROVOKED: list[tuple[str, str | None, Fault, Fault | None]] = [
    ("ReferralConfirmsSlow", None, faults.confirms_slow, None),
    ("ReferralUpstreamFailing", None, faults.upstream_failing, None),
    ("ReferralShopHalted", "broken", faults.halted, faults.repaired),
    ("ReferralNoConsumer", "orphan", faults.orphaned, None),
    ("ReferralDayQuotaNearlySpent", "spent", faults.quota_spent, None),
    ("ReferralThrottled", "pushed", faults.throttled, None),
    ("ReferralJobsRefused", None, faults.firewalled, None),
    ("ReferralApiVersionRefused", None, faults.version_refused, None),
    ("ReferralDeadLetters", None, faults.dead, None),
    ("ReferralLaneUnusable", None, faults.lane_taken, None),
    ("ReferralShopsFileUnusable", None, faults.shops_file_broken, Observatory.write_shops),
    ("ReferralStoreDown", None, faults.store_down, faults.store_back),
    ("ReferralBrokerBlocked", None, faults.broker_blocked, faults.broker_free),
    ("ReferralResultsGrowing", None, faults.uncollected, None),
    ("ReferralBrokerUnreachable", None, faults.broker_gone, None),
    ("ReferralQueuesUnseen", None, faults.broker_gone, faults.broker_back),
    ("ReferralWorkerCrashLoop", None, faults.crashing, None),
    ("ReferralNoWorkers", None, faults.workers_gone, faults.workers_back),
]
"""Alert, the shop that it names, the fault, and what repairs it where the alert is over soon after. The first two come
while few calls and confirms have gone well, of which they are a share."""

ALWAYS = {"ReferralCredentialNearItsEnd"}
"""Fires from the start: a shop of the observatory has a token that ends tomorrow."""

BY_CASES_ALONE = {
    "ReferralOldestJobTooOld",
    "ReferralReadingDeaths",
    "ReferralCampaignBraked",
    "ReferralSuppressionLost",
}
"""The first looks at more than an hour; the second takes a message that ends whoever reads it, and none is known: in
the fault suite a worker ends itself. The third is one order in the store; tests over RabbitMQ look at its gauge. The
fourth has rows of its own in the fault suite."""


def test_all_is_well(observatory: Observatory) -> None:
    """Before any fault no alert fires but the one of the token that ends tomorrow."""
    assert observatory.fired_when_well == ALWAYS


def test_the_page_is_well_formed(observatory: Observatory) -> None:
    """promtool has nothing to say against the worker's page."""
    page = observatory.desk.metrics_page()
    checked = promtool("check", "metrics", stdin=page)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("alert", "shop", "fault", "repair"),
    [pytest.param(*each, id=each[0].removeprefix("Referral")) for each in PROVOKED],
)
def test_fires(observatory: Observatory, alert: str, shop: str | None, fault: Fault, repair: Fault | None) -> None:
    """The alert fires after its fault, with its links filled in, and is over once that is repaired."""
    fault(observatory)
    fired = observatory.wait_for(alert, shop=shop)
    notes = fired["annotations"]
    assert notes["runbook_url"] == f"{LABELS['runbook']}#{alert.lower()}"
    dashboard = notes["dashboard_url"].removeprefix(LABELS["grafana"])
    assert re.fullmatch(r"/d/referrals-(overview|shop|workers)(\?var-\w+=[\w.%-]+)?", dashboard)
    assert shop is None or f"var-shop={shop}" in dashboard
    assert "no value" not in " ".join(notes.values())
    if repair is not None:
        repair(observatory)
        observatory.wait_until_over(alert)


def test_every_alert_is_provoked() -> None:
    """No alert is forgotten here."""
    assert {alert for alert, *_ in PROVOKED} | ALWAYS | BY_CASES_ALONE == set(ALERTS)


def test_every_recorded_series_has_data(observatory: Observatory) -> None:
    """Every recording rule records something, and no rule fails."""
    faults.halted(observatory)
    faults.orphaned(observatory)
    assert observatory.wait_for_data(RECORDED) == set()
    assert observatory.prometheus.broken_rules() == {}


def test_every_panel_has_data(observatory: Observatory) -> None:
    """Whatever a dashboard asks, for its panels and annotations, returns something while things go wrong."""
    faults.halted(observatory)
    faults.dead(observatory)
    faults.ordered(observatory)
    observatory.publish("failing", 3, "fail503x1+panel")
    observatory.publish("acme", 2, "notjsonx1+panel")
    # Rates over an hour: a halted shop is called once in minutes, and its one call counts while the test waits.
    asked = {
        filled_in(each.expression, rate_interval="1h", interval="1h", shop="broken", instance=".+"): each.where
        for each in questions()
    }
    assert sorted(asked[expression] for expression in observatory.wait_for_data(asked, seconds=40)) == []
