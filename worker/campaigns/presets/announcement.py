"""The line that says what the exports of a command were recognised as, and why."""

from collections.abc import Iterator, Sequence

from worker.campaigns.exports.base import Export
from worker.campaigns.presets.recognised import Recognised
from worker.campaigns.presets.recognition import NO_PRESET


def announced(exports: Sequence[Export]) -> Iterator[str]:
    """One line for all exports that were recognised alike; none for those of no known tool."""
    alike: dict[tuple[str | None, str, bool, str | None], list[Export]] = {}
    for export in exports:
        told = export.recognised
        if told.preset is not None:
            alike.setdefault((told.name, told.why, told.untold, told.every_row), []).append(export)
    for group in alike.values():
        more = f" and {len(group) - 1} more" if len(group) > 1 else ""
        yield f"{group[0].file.name}{more}: {_said(group[0].recognised)}"


def _said(told: Recognised) -> str:
    by = "as --preset says" if told.why == "--preset" else f"by {told.why}; --preset {NO_PRESET} switches this off"
    return f"read as {told.name}, {by}; {_consent(told)}"


def _consent(told: Recognised) -> str:
    if told.suppresses:
        return "nobody on this list is written to, and it makes no jobs"
    if told.every_row is not None:
        return f"nobody in it is written to ({told.every_row})"
    if told.untold:
        return "it doesn't tell consent, which --ignore-consent ignores"
    columns = [column for rule, _ in told.rules for column in rule.columns]
    if columns:
        return f"consent is told by {', '.join(columns)}"
    by_name = told.preset is not None and told.preset.status == "file name"
    return "consent is told by its name" if by_name else "it has no column about consent"
