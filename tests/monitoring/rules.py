"""The rules file, as the tests of it read it."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]

RULES = ROOT / "monitoring" / "rules.yml"

CASES = sorted((ROOT / "monitoring" / "tests").glob("*.yml"))


def _rules(kind: str) -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule[kind]: rule for group in groups for rule in group["rules"] if kind in rule}


ALERTS = _rules("alert")
"""Rules by the name of their alert."""

RECORDED = _rules("record")
"""Rules by the name of the series that they record."""


def hasty_rules(path: Path) -> Path:
    """Write a copy of the rules whose alerts don't wait for what they see to last, and give its path."""
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for group in document["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path
