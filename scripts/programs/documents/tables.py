"""Tables that are made from the code, as blocks within the pages of docs/ that ask for them: of the reasons for which
rows are left out, of outcomes and error codes, and of upload files.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from worker.campaigns.reject_reasons import REASONS
from worker.merging.uploads.selection import WHY_NOT
from worker.merging.uploads.table import TOOLS
from worker.merging.uploads.tool import Tool
from worker.model.codes import CODES, OUTCOMES, SHOPS_OWN_RULE
from worker.model.explanation import Explanation


def _table(first: str, second: str, rows: Iterable[tuple[str, Explanation]]) -> str:
    lines = [f"| {name} | {told.meaning} | {told.remedy} |" for name, told in rows]
    return "\n".join([f"| {first} | {second} | what to do |", "|---|---|---|", *lines])


def _quoted(told: Iterable[tuple[str, Explanation]]) -> list[tuple[str, Explanation]]:
    return [(f"`{name}`", explanation) for name, explanation in told]


def _uploads(tools: Iterable[Tool]) -> str:
    lines = [
        f"| `{tool.name}` | {_else(identifier.name for identifier in tool.identifiers)} | `{tool.link_column}` "
        f"| {_limits(tool)} |"
        for tool in tools
    ]
    head = "| `--for` | first column | column of the link | a file has at most |"
    return "\n".join([head, "|---|---|---|---|", *lines])


def _else(names: Iterable[str]) -> str:
    return ", else ".join(f"`{name}`" for name in names)


def _limits(tool: Tool) -> str:
    limits = [f"{tool.most_bytes // 1_000_000} MB"]
    if tool.most_rows is not None:
        limits.append(f"{tool.most_rows:,} rows")
    if tool.longest_link is not None:
        limits.append(f"links of {tool.longest_link.number} {tool.longest_link.unit}")
    return ", ".join(limits)


def _why_not() -> str:
    return "\n".join(
        ["| why | what it means |", "|---|---|", *(f"| {why} | {told} |" for why, told in WHY_NOT.items())]
    )


_MADE: Final = "made by scripts/docs from the code, change them there"

_TABLES: Final = {
    "reject reasons": _table("reason", "the row", _quoted(REASONS.items())),
    "outcomes": _table("outcome", "what it means", _quoted(OUTCOMES.items())),
    "error codes": _table("code", "what it means", [*_quoted(CODES.items()), ("any other", SHOPS_OWN_RULE)]),
    "upload files": _uploads(TOOLS.values()),
    "rows not uploaded": _why_not(),
}


def pages(docs: Path) -> dict[str, str]:
    """The pages that hold a block's two comments, by file name, with its table between them."""
    made = {}
    for page in sorted(docs.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if _MADE in text:
            for name, table in _TABLES.items():
                text = _with(text, name, table)
            made[page.name] = text
    return made


def _with(text: str, name: str, table: str) -> str:
    begin = f"<!-- {name}: {_MADE} -->"
    end = f"<!-- end of {name} -->"
    return re.sub(
        rf"{re.escape(begin)}\n.*?{re.escape(end)}", lambda _: f"{begin}\n{table}\n{end}", text, flags=re.DOTALL
    )
