"""The committed dashboards: current, understood by Grafana's own models, and about metrics that exist.

No Grafana runs here: that a panel looks as it should is not tested, only what it is made of.
"""

import itertools
import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import promql_parser
import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client import CollectorRegistry

from scripts.programs.dashboards.__main__ import FOLDER, dashboards
from tests.monitoring.dashboards import Board, Question, boards, filled_in, questions
from tests.monitoring.promql import calls_over_ranges, selected
from tests.monitoring.rules import ALERTS, RECORDED
from worker.telemetry.metrics.process import Metrics

BEYOND_THE_SDK = {"titleFormat", "textFormat"}
"""Keys of annotations that Grafana's Prometheus plugin reads (annotations.ts, processEvents) and its schema lacks."""

BY_SCRAPING = {"instance", "job"}
"""Labels that Prometheus adds to whatever it scrapes."""

RABBITMQ = {
    f"rabbitmq_detailed_queue_{name}": {"vhost", "queue"}
    for name in ("messages", "messages_ready", "messages_unacked", "consumers")
}
"""Of its endpoint /metrics/detailed, families queue_coarse_metrics and queue_consumer_count."""

PROMETHEUS = {
    "ALERTS": {"alertname", "alertstate", "severity", "shop"},
    "ALERTS_FOR_STATE": {"alertname", "severity", "shop"},
}
"""What Prometheus says of our alerts."""

UNSEEN: dict[str, str] = {}
"""Metrics that no panel, rule or alert reads, and why they are there all the same."""

each_board = pytest.mark.parametrize("board", boards(), ids=lambda board: board["uid"])

each_question = pytest.mark.parametrize("question", questions(), ids=lambda question: question.where)


def known() -> dict[str, set[str]]:
    """Every metric that there is, by the names under which it can be read, with its labels."""
    names: dict[str, set[str]] = RABBITMQ | PROMETHEUS
    for entry in Metrics(CollectorRegistry()).entries:
        if entry.kind == "histogram":
            names |= {f"{entry.name}_{part}": set(entry.labels) for part in ("count", "sum")}
            names[f"{entry.name}_bucket"] = {"le", *entry.labels}
        else:
            names[entry.name] = set(entry.labels)
    return names | {name: {"shop", "reason"} for name in RECORDED}


def constant(expression: str) -> str:
    """The expression with some values for its variables."""
    return filled_in(expression, rate_interval="1m", interval="15s", shop="acme", instance=".+")


def links(thing: Any) -> list[str]:
    """Every address below a part of a dashboard."""
    if isinstance(thing, dict):
        own = [thing["url"]] if thing.get("url") else []
        return own + [link for value in thing.values() for link in links(value)]
    return [link for value in thing for link in links(value)] if isinstance(thing, list) else []


def test_dashboards_are_current() -> None:
    """The folder holds what the code makes now and nothing else."""
    held = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert held == dashboards(), "run scripts/dashboards"


@each_board
def test_grafana_knows_every_key(board: Board) -> None:
    """A dashboard that goes through the models of Grafana 11.6 comes out as it was: no key is misspelt or lost."""
    register_default_plugins()
    for annotation in board["annotations"]["list"]:
        assert annotation.keys() >= BEYOND_THE_SDK
    own = json.loads(json.dumps(board))
    for annotation in own["annotations"]["list"]:
        for key in BEYOND_THE_SDK:
            del annotation[key]
    assert json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder)) == own


def test_dashboards_can_be_told_apart() -> None:
    """No two dashboards share an id, and the panels of each have ids and titles of their own."""
    assert sorted(board["uid"] for board in boards()) == ["referrals-overview", "referrals-shop", "referrals-workers"]
    for board in boards():
        for key in ("id", "title"):
            values = [panel[key] for panel in board["panels"]]
            assert len(values) == len(set(values))
        for panel in board["panels"]:
            letters = [target["refId"] for target in panel.get("targets", ())]
            assert len(letters) == len(set(letters))


@each_board
def test_panels_lie_side_by_side(board: Board) -> None:
    """No panel covers another or leaves the grid, and the first row asks something."""
    places = [(panel["title"], panel["gridPos"]) for panel in board["panels"]]
    for title, at in places:
        assert at["x"] >= 0, title
        assert at["x"] + at["w"] <= 24, title
    for (title, a), (other, b) in itertools.combinations(places, 2):
        apart_x = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        apart_y = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert apart_x or apart_y, f"{title} and {other}"
    assert all(panel["targets"] for panel in board["panels"] if panel["gridPos"]["y"] == 0)


@each_board
def test_panels_say_what_they_show(board: Board) -> None:
    """Every panel has a description that is a sentence, a unit, and its data source from the variable."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        assert panel["targets"], panel["title"]


@each_board
def test_dashboards_are_found_from_each_other(board: Board) -> None:
    """Each is tagged and links to all that are; it chooses its data source, and marks halts, orders and deploys."""
    assert board["tags"] == ["referrals"]
    (link,) = board["links"]
    assert (link["type"], link["tags"], link["keepTime"]) == ("dashboards", ["referrals"], True)
    assert board["templating"]["list"][0]["type"] == "datasource"
    assert [annotation["name"] for annotation in board["annotations"]["list"]] == ["Halts", "Orders", "Deploys"]


def test_links_lead_somewhere() -> None:
    """A link to a dashboard names one that there is and sets only variables that it has."""
    variables = {board["uid"]: {each["name"] for each in board["templating"]["list"]} for board in boards()}
    addresses = {address for board in boards() for address in links(board["panels"])}
    assert addresses
    for address in addresses:
        parts = urlsplit(address)
        uid = parts.path.removeprefix("/d/")
        given = {name.removeprefix("var-") for name, _ in parse_qsl(parts.query) if name.startswith("var-")}
        assert given <= variables[uid], address


@each_board
def test_variables_that_are_used_are_declared(board: Board) -> None:
    """An expression names no variable but Grafana's own and those at the top of its dashboard."""
    declared = {each["name"] for each in board["templating"]["list"]} | {"__rate_interval", "__interval"}
    asked = [question for question in questions() if question.where.startswith(board["title"])]
    for question in asked:
        assert set(re.findall(r"\$(\w+)", question.expression)) <= declared, question.where


@each_question
def test_expressions_parse(question: Question) -> None:
    """Every expression is PromQL once its variables are filled in."""
    promql_parser.parse(constant(question.expression))


@each_question
def test_rates_follow_the_scrape_interval(question: Question) -> None:
    """A rate is over $__rate_interval; only a count of the last hour, which says so, is over a fixed time."""
    for call in calls_over_ranges(constant(question.expression)):
        assert call.seconds == 60 or (call.function == "increase" and call.seconds == 3600), question.where


@each_question
def test_metrics_exist(question: Question) -> None:
    """A panel reads metrics of the catalogue, of RabbitMQ's endpoint or of a recording rule, with labels they have."""
    labels_of = known()
    for metric, labels in selected(constant(question.expression)):
        assert metric in labels_of, f"{question.where}: {metric}"
        assert labels <= labels_of[metric] | BY_SCRAPING, f"{question.where}: {metric}"


def test_every_metric_is_looked_at() -> None:
    """A metric that no panel, rule or alert reads is not worth its series, but for those that say why."""
    expressions = [constant(question.expression) for question in questions()] + [
        rule["expr"] for rule in (*ALERTS.values(), *RECORDED.values())
    ]
    read = {each.metric for expression in expressions for each in selected(expression)}
    unread = {
        entry.name
        for entry in Metrics(CollectorRegistry()).entries
        if not {entry.name, f"{entry.name}_bucket", f"{entry.name}_count"} & read
    }
    assert unread == UNSEEN.keys()
