"""What the figures depend on besides the code."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("dramatiq", "pika", "requests", "pydantic")


def facts(rabbitmq_version: str) -> str:
    """The machine and the versions, in one line."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"{os.cpu_count()} cores ({_processor()}), Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, RabbitMQ {rabbitmq_version}, {packages}"
    )


def load() -> str:
    """The load averages of the last one and five minutes."""
    one, five, _ = os.getloadavg()
    return f"{one:.2f}, {five:.2f}"


def today() -> str:
    """The date in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
