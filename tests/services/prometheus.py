"""A Prometheus of our own, from Debian's package: what its users will see of the metrics, asked the way they ask."""

import http.client
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.services import process
from tests.services.base import Service, ServiceError

INTERVAL = "1s"
"""Between scrapes, and between evaluations of rules: a test does not wait for the usual 15 s."""


@dataclass(frozen=True)
class Scrape:
    """Pages to scrape: ``host:port`` of each, their path, and the parameters of its query."""

    job: str
    targets: Sequence[str]
    path: str = "/metrics"
    params: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Prometheus(Service):
    """Scrapes pages and evaluates rules files once a second; ``labels`` are its external labels."""

    kind = "prometheus"

    def __init__(
        self,
        folder: Path,
        *,
        scrapes: Sequence[Scrape] = (),
        rules: Sequence[Path] = (),
        labels: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder)
        self._scrapes = scrapes
        self._rules = rules
        self._labels = labels or {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.record['port']}"

    def exports(self) -> dict[str, str]:
        return {"PROMETHEUS_URL": self.url}

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The series of an instant query, as labels and value. Blocks for 10 s at most.

        Raises:
          ServiceError: the expression is none, or can't be evaluated.
        """
        data = self._get("/api/v1/query", query=expression)
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(each["metric"], float(each["value"][1])) for each in data["result"]]

    def with_data(self, expressions: Iterable[str]) -> set[str]:
        """Those of the expressions that return something now."""
        return {expression for expression in expressions if self.query(expression)}

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts that fire now: ``labels``, ``annotations``, ``activeAt``."""
        return [alert for alert in self._get("/api/v1/alerts")["alerts"] if alert["state"] == "firing"]

    def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        return {alert["labels"]["alertname"] for alert in self.alerts()}

    def broken_rules(self) -> dict[str, str]:
        """Rules whose last evaluation failed, with the error; those that were not evaluated yet count too."""
        rules = [rule for group in self._get("/api/v1/rules")["groups"] for rule in group["rules"]]
        return {rule["name"]: rule.get("lastError", rule["health"]) for rule in rules if rule["health"] != "ok"}

    def running(self) -> bool:
        return process.find(self._pid_file) is not None

    def stop(self) -> None:
        # No good order: its data is not kept.
        process.end(self._pid_file, signal.SIGKILL, 10)

    @property
    def _pid_file(self) -> Path:
        return self.folder / "prometheus.pid"

    def _settle(self) -> dict[str, Any]:
        (port,) = process.free_ports(1)
        configuration = {
            "global": {
                "scrape_interval": INTERVAL,
                "scrape_timeout": INTERVAL,
                "evaluation_interval": INTERVAL,
                "external_labels": dict(self._labels),
            },
            "rule_files": [str(path.resolve()) for path in self._rules],
            "scrape_configs": [
                {
                    "job_name": each.job,
                    "metrics_path": each.path,
                    "params": {name: list(values) for name, values in each.params.items()},
                    "static_configs": [{"targets": list(each.targets)}],
                }
                for each in self._scrapes
            ],
        }
        # JSON is YAML.
        (self.folder / "prometheus.yml").write_text(json.dumps(configuration, indent=2))
        return {"port": port}

    def _spawn(self) -> None:
        options = {
            "--config.file": self.folder / "prometheus.yml",
            "--storage.tsdb.path": self.folder / "data",
            "--web.listen-address": f"127.0.0.1:{self.record['port']}",
            "--log.level": "warn",
        }
        command = [_installed("prometheus"), *(f"{name}={value}" for name, value in options.items())]
        process.spawn(command, pid_file=self._pid_file, log=self.log, env={"LC_ALL": "C", "GOMAXPROCS": "1"})

    def _answers(self) -> bool:
        try:
            return self._request("/-/ready", 1)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def _get(self, path: str, **query: str) -> Any:
        _, body = self._request(f"{path}?{urlencode(query)}", 10)
        answer = json.loads(body)
        if answer["status"] != "success":
            raise ServiceError(f"{query.get('query', path)}: {answer['error']}")
        return answer["data"]

    def _request(self, path: str, seconds: float) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.record["port"], timeout=seconds)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()


def promtool(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``promtool`` to its end, whatever that is."""
    command = [_installed("promtool"), *arguments]
    # A fifth less CPU than with a collector of garbage that keeps a short-lived process small.
    env = os.environ | {"GOGC": "400"}
    return subprocess.run(command, input=stdin, env=env, capture_output=True, text=True, timeout=60, check=False)


def _installed(name: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath))
    if found is None:
        raise ServiceError(f"{name} is missing: apt install prometheus, or put its release's files on the PATH")
    return found
