"""compose.yaml and what it mounts. No engine runs here: its schema is checked by scripts/lint, and the rest below."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from tests.deployment.rendered import ROOT
from worker.cli.main import app
from worker.cli.work import SHUTDOWN_MS
from worker.instants import SECOND
from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET
from worker.scheduling.loop import DRAIN
from worker.settings import PREFIX, Settings
from worker.shops.credentials import SigningKey
from worker.shops.registry import ShopRegistry

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))

SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("referral-dispatch")}

DEV = ROOT / "k8s" / "overlays" / "dev"


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Where in the container: what of the host, or which volume."""
    pairs = [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).split(":") for volume in service.get("volumes", ())]
    return {pair[1]: pair[0] for pair in pairs}


def configuration(name: str) -> Any:
    """A file of compose/, decoded."""
    return yaml.safe_load((ROOT / "compose" / name).read_text(encoding="utf-8"))


def test_what_is_mounted_exists() -> None:
    """Each bind mount is of a file or folder of the repository, each other one of a volume that is declared."""
    for name, service in SERVICES.items():
        for source in mounts(service).values():
            assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], name


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_configured(name: str) -> None:
    """Variables are settings with good values, and the command and its options exist."""
    service = OURS[name]
    environment = service.get("environment", {})
    Settings.model_validate({key.removeprefix(PREFIX).lower(): value for key, value in environment.items()})
    assert {key.removeprefix(PREFIX).lower() for key in environment} <= set(Settings.model_fields)
    command, *rest = service.get("entrypoint", ["referrals"])[1:] + service.get("command", [])
    commands: Any = typer.main.get_command(app)
    options = {option for parameter in commands.get_command(None, command).params for option in parameter.opts}
    assert {argument for argument in rest if argument.startswith("--")} <= options
    if f"{PREFIX}SHOPS" in environment:
        file = Path(environment[f"{PREFIX}SHOPS"])
        assert {str(file), str(file.parent)} & mounts(service).keys()


def test_urls_lead_to_services_whose_users_exist() -> None:
    """Hosts are services; RabbitMQ's users, passwords and virtual host are those of the definitions that it loads."""
    definitions = json.loads((DEV / "rabbitmq" / "definitions.json").read_text())
    users = {(user["name"], user["password"]) for user in definitions["users"]}
    for service in OURS.values():
        for value in service.get("environment", {}).values():
            if found := re.fullmatch(r"amqp://([^:]+):([^@]+)@rabbitmq:5672/(\w+)", value):
                assert found.groups()[:2] in users
                assert {"name": found[3]} in definitions["vhosts"]
            elif "://" in value:
                assert re.fullmatch(r"\w+://([^:/]+)[:/].*", value)[1] in SERVICES  # type: ignore[index] # fails
    loaded = (DEV / "rabbitmq" / "referrals.conf").read_text().split("=")[1].strip()
    assert loaded in mounts(SERVICES["rabbitmq"])


def test_the_shop_has_the_sandbox_s_key() -> None:
    """The shops file is read as a worker reads it; it is the one of the dev overlay."""
    folder = ROOT / "compose" / "shops"
    shops = ShopRegistry.load(folder / "shops.toml")
    credential = shops.get("acme").credential  # type: ignore[union-attr] # fails
    assert credential == SigningKey(SANDBOX_KEY_ID, SANDBOX_SECRET.encode())
    assert (folder / "shops.toml").read_text() == (DEV / "shops.toml").read_text()


def test_keys_are_mounted_by_who_signs_alone() -> None:
    """Of our services only the worker sees the folder with the shops' keys; who publishes sees the shops file."""
    seen = {name: {where for where in mounts(service).values() if "shops" in where} for name, service in OURS.items()}
    assert {name: where for name, where in seen.items() if where} == {
        "worker": {"./compose/shops"},
        "publish": {"./compose/shops/shops.toml"},
    }


def test_who_publishes_counts_in_the_workers_store() -> None:
    """The publisher has the workers' store, so that it can tell what was answered before; the collector has none."""
    urls = {name: service.get("environment", {}).get(f"{PREFIX}REDIS_URL") for name, service in OURS.items()}
    assert urls.pop("publish") == urls.pop("worker") is not None
    assert not any(urls.values())


def test_a_worker_has_the_key_of_suppressed_addresses() -> None:
    """So that the first address that somebody suppresses for a trial doesn't stop it."""
    assert SERVICES["worker"]["environment"][f"{PREFIX}SUPPRESSION_KEY"]


def test_a_worker_has_the_time_to_drain() -> None:
    """`docker compose stop` waits longer than the longest drain."""
    assert float(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) > SHUTDOWN_MS / 1000 + DRAIN / SECOND


def test_a_worker_s_tmp_outlives_a_restart() -> None:
    """What a worker remembers of deaths in /tmp lies in a volume: Docker empties a tmpfs when a container restarts."""
    worker = SERVICES["worker"]
    assert mounts(worker)["/tmp"] in COMPOSE["volumes"]
    assert not [mount for mount in worker["tmpfs"] if mount.split(":")[0] == "/tmp"]


def test_prometheus_scrapes_workers_and_broker_by_the_rules_of_all() -> None:
    """Targets are services on their metrics ports, and the rules file is the one of monitoring/."""
    config = configuration("prometheus.yml")
    (workers,) = config["scrape_configs"][0]["dns_sd_configs"]
    assert set(workers["names"]) <= set(SERVICES)
    assert workers["port"] == Settings.model_fields["metrics_port"].default
    (broker,) = config["scrape_configs"][1]["static_configs"]
    assert broker["targets"] == ["rabbitmq:15692"]
    assert mounts(SERVICES["prometheus"])[f"/etc/prometheus/{config['rule_files'][0]}"] == "./monitoring/rules.yml"


def test_grafana_is_given_source_and_dashboards() -> None:
    """Grafana's folder of dashboards is the mounted one, and its data source the Prometheus of this file."""
    (provider,) = configuration("grafana/provisioning/dashboards/referrals.yml")["providers"]
    assert mounts(SERVICES["grafana"])[provider["options"]["path"]] == "./monitoring/dashboards"
    (source,) = configuration("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"


def test_nothing_but_loopback_is_published() -> None:
    """Ports of the host are those of this machine alone: the sandbox's neighbours have no passwords to speak of."""
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
