"""What the rows share: a site each, the counts that ``--full`` asks for, and a line per row for the report."""

import json
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.faults.nodes import Nodes
from tests.faults.site import CANARY, SHORT_TIMES, Site
from tests.faults.upstream import Upstream
from tests.services import RabbitMQ, Stack, Valkey, Vhost, open_rabbitmq
from tests.system.commands import Desk

ROOT = Path(__file__).parents[2]

PASSED = pytest.StashKey[bool]()

WARNINGS_SHOWN = 50


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `scripts/faults` passes on."""
    parser.addoption("--full", action="store_true", help="inject as often as the table of the fault suite says")
    parser.addoption("--minutes", default="30", help="how long a soak lasts")
    parser.addoption("--seed", help="the faults of an earlier soak once more")
    parser.addoption("--rows-to", type=Path, help="append a line of JSON per row to this file")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Leave with the row whether it has passed, for its line."""
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report


def pytest_configure(config: pytest.Config) -> None:
    """The mark of rows that run with ``--full`` alone."""
    config.addinivalue_line("markers", "full_only: run with --full alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave them out, and say how many."""
    if not config.getoption("--full"):
        left_out = [item for item in items if item.get_closest_marker("full_only")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether to inject as often as the table says."""
    return bool(request.config.getoption("--full"))


@pytest.fixture(scope="session")
def nodes(services: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """The node that all share; no row may break it, and one that does takes no later row along."""
    folder = tmp_path_factory.mktemp("nodes")
    made = Nodes(lambda number: open_rabbitmq(folder / str(number)), services.rabbitmq)
    yield made
    made.close()


@pytest.fixture(scope="session")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A node for the rows of the files that make it their ``nodes``."""
    folder = tmp_path_factory.mktemp("breakable")
    made = Nodes(lambda number: open_rabbitmq(folder / str(number)))
    yield made
    made.close()


@pytest.fixture
def rabbitmq(nodes: Nodes) -> RabbitMQ:
    """A node that is well."""
    return nodes.get()


@pytest.fixture
def site(
    request: pytest.FixtureRequest, tmp_path: Path, rabbitmq: RabbitMQ, vhost: Vhost, full: bool
) -> Iterator[Site]:
    """A row's world; workers, receiving side and store are its own. Whatever still runs ends with the row."""
    with Valkey(tmp_path / "valkey", appendonly="yes") as valkey, Upstream(tmp_path / "calls.jsonl") as upstream:
        desk = Desk.of(tmp_path, _with_canary(rabbitmq, vhost))
        desk.env |= SHORT_TIMES | {"REFERRALS_REDIS_URL": valkey.url, "PYTHONPATH": str(ROOT)}
        made = Site(desk, rabbitmq, vhost, valkey, upstream, full)
        made.configure()
        started = time.monotonic()
        try:
            yield made
        finally:
            made.close()
            _report(request, made, time.monotonic() - started)
        made.assert_nothing_leaked()


def _with_canary(rabbitmq: RabbitMQ, vhost: Vhost) -> str:
    # Workers have a password that is looked for in what they write; it goes with its node.
    rabbitmq.api("PUT", f"/api/users/{vhost.name}", {"password": CANARY, "tags": ""})
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    rabbitmq.api("PUT", f"/api/permissions/{vhost.name}/{vhost.name}", everything)
    return vhost.url.replace("guest:guest@", f"{vhost.name}:{CANARY}@")


def _report(request: pytest.FixtureRequest, site: Site, seconds: float) -> None:
    path: Path | None = request.config.getoption("--rows-to")
    verdict = site.verdict()
    outcomes = site.ended.outcomes
    line = {
        "row": request.node.name.removeprefix("test_"),
        "passed": request.node.stash.get(PASSED, False),
        "seconds": round(seconds, 1),
        "jobs": len(verdict.attempted),
        "faults": site.faults,
        "lost": len(verdict.lost),
        "unexpected": len(verdict.unexpected),
        "repeats": verdict.repeats,
        "recovered": len(verdict.recovered),
        "unknown": sum(count for outcome, count in outcomes.items() if outcome.startswith("unknown")),
        "dead": len(site.ended.dead),
    }
    print(json.dumps(line))
    if path is not None:
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
    if not line["passed"]:
        # The folder with the logs is gone by the time at which somebody asks. Last, since RabbitMQ may be gone too.
        print(site.evidence(), *site.warnings()[-WARNINGS_SHOWN:], sep="\n")
