"""The committed dashboards, read as what Grafana gets."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from scripts.programs.dashboards.__main__ import FOLDER

Board = dict[str, Any]


class Question(NamedTuple):
    """An expression that a dashboard asks Prometheus, variables and all; ``where`` names dashboard and panel."""

    where: str
    expression: str


def boards() -> list[Board]:
    """Every dashboard in the folder."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))]


def questions() -> list[Question]:
    """What all panels and annotations of all dashboards ask."""
    return [question for board in boards() for question in _asked(board)]


def filled_in(expression: str, *, rate_interval: str, interval: str, **variables: str) -> str:
    """The expression as Grafana sends it, with values for its variables."""
    values = {"__rate_interval": rate_interval, "__interval": interval, **variables}
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], expression)


def _asked(board: Board) -> Iterator[Question]:
    for annotation in board["annotations"]["list"]:
        yield Question(f"{board['title']}: {annotation['name']}", annotation["expr"])
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield Question(f"{board['title']}: {panel['title']} {target['refId']}", target["expr"])
