"""The rules by themselves: promtool's checks and cases, the links of alerts, how many workers a demand asks for."""

import re
from pathlib import Path

import pytest
import yaml

from tests.monitoring.rules import ALERTS, CASES, RECORDED, ROOT, RULES
from tests.services import promtool

SCALED_OBJECT = ROOT / "k8s" / "components" / "keda" / "scaled-object.yaml"


def test_lint() -> None:
    """promtool finds nothing to say against the rules."""
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_cases(path: Path) -> None:
    """What the rules make of series that are written down is what the cases say."""
    tested = promtool("test", "rules", str(path))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_each_alert_has_cases() -> None:
    """Each alert fires in one case and is silent in another, and each recorded series is compared somewhere."""
    firing: set[str] = set()
    silent: set[str] = set()
    text = ""
    for path in CASES:
        text += path.read_text(encoding="utf-8")
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            for case in test["promql_expr_test"]:
                for alert in re.findall(r'^ALERTS\{alertname="(\w+)"', case["expr"]):
                    (firing if case["exp_samples"] else silent).add(alert)
    assert firing == silent == set(ALERTS)
    # What no case compares is what other rules are made of, or what scaling follows, below.
    used = " ".join(rule["expr"] for rule in [*ALERTS.values(), *RECORDED.values()])
    used += SCALED_OBJECT.read_text(encoding="utf-8")
    assert [name for name in RECORDED if name not in text and name not in used] == []


def test_alerts_say_where_to_look() -> None:
    """Each alert has a severity, a summary, a dashboard of ours and the runbook's section of its name."""
    for name, rule in ALERTS.items():
        assert name.startswith("Referral")
        assert rule["labels"]["severity"] in ("critical", "warning")
        notes = rule["annotations"]
        assert notes.keys() == {"summary", "dashboard_url", "runbook_url"}
        assert notes["runbook_url"] == f'{{{{ or $externalLabels.runbook "docs/runbook.md" }}}}#{name.lower()}'
        dashboard = re.fullmatch(
            r"\{\{ \$externalLabels\.grafana \}\}/d/referrals-(overview|shop|workers)"
            r"(?:\?var-(shop|instance)=\{\{ \$labels\.(?:shop|instance) \| urlquery \}\})?",
            notes["dashboard_url"].strip(),
        )
        assert dashboard, notes["dashboard_url"]
        assert (dashboard[1] == "shop") == (dashboard[2] == "shop") == ("$labels.shop" in notes["summary"]), name


def replicas(series: dict[str, str], minutes: int, folder: Path) -> int:
    """How many workers the autoscaler asks for, of ``series`` in promtool's notation, one value a minute."""
    spec = yaml.safe_load(SCALED_OBJECT.read_text(encoding="utf-8"))["spec"]
    trigger = spec["triggers"][0]["metadata"]
    wanted = f"clamp(ceil(({trigger['query']}) / {trigger['threshold']}), {spec['minReplicaCount']}, "
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {"expr": f"{wanted}{spec['maxReplicaCount']})", "eval_time": f"{minutes}m", "exp_samples": []}
                ],
            }
        ],
    }
    case = folder / "case.yml"
    case.write_text(yaml.safe_dump(document), encoding="utf-8")
    # Nothing is expected, so that promtool says what it got.
    answer = promtool("test", "rules", str(case))
    got = re.search(r"got: \{\} (\S+)", answer.stdout + answer.stderr)
    assert got, answer.stdout + answer.stderr
    return int(float(got[1]))


def pods(count: int, *, threads: int, call_seconds: float) -> dict[str, str]:
    """What workers tell of their capacity."""
    return {
        f'referral_capacity_jobs_per_second{{instance="pod-{pod}"}}': f"{threads / call_seconds}+0x30"
        for pod in range(count)
    }


def demand(shops: int, *, rate: float, done: float, on_pods: int) -> dict[str, str]:
    """Shops that could do ``rate`` jobs a second each and of which ``done`` a second are done, on several pods."""
    series = {}
    for shop in range(shops):
        for pod in range(on_pods):
            labels = f'shop="shop-{shop}", instance="pod-{pod}"'
            series[f"referral_runnable_jobs_per_second{{{labels}}}"] = f"{rate}+0x30"
            series[f'refer2_responses_total{{code="ok", {labels}}}'] = f"0+{60 * done / on_pods}x30"
    return series


def test_a_throttled_whale_asks_for_one_worker(tmp_path: Path) -> None:
    """However deep its queue, a shop at 25 a second that eight workers share asks for one of them."""
    whale = {'rabbitmq_detailed_queue_messages{queue="referrals.shop.shop-0", vhost="/"}': "1000000+0x30"}
    fleet = pods(8, threads=16, call_seconds=0.25)
    assert replicas(whale | fleet | demand(1, rate=25, done=25, on_pods=8), 20, tmp_path) == 1


def test_many_small_busy_shops_ask_for_their_sum(tmp_path: Path) -> None:
    """100 shops at 4 a second: 400 a second by the 64 of a worker, four fifths of which are planned with."""
    fleet = pods(2, threads=16, call_seconds=0.25)
    assert replicas(fleet | demand(100, rate=4, done=1.28, on_pods=2), 20, tmp_path) == 8


def test_what_is_done_at_once_keeps_its_workers(tmp_path: Path) -> None:
    """Where nothing waits because the fleet keeps up, the calls that are made are the demand."""
    fleet = pods(8, threads=16, call_seconds=0.25)
    assert replicas(fleet | demand(100, rate=0, done=4, on_pods=8), 20, tmp_path) == 8


def test_an_empty_system_asks_for_the_minimum(tmp_path: Path) -> None:
    """Nothing to do is an answer, not the lack of one."""
    assert replicas(pods(5, threads=16, call_seconds=0.25) | demand(100, rate=0, done=0, on_pods=5), 20, tmp_path) == 1
