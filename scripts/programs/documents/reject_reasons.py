"""The table of reasons for which rows are left out, as a block within the pages of docs/ that ask for it."""

import re
from pathlib import Path

from worker.campaigns.reject_reasons import REASONS

_BEGIN = "<!-- reject reasons: made by scripts/docs from the code, change them there -->"
_END = "<!-- end of reject reasons -->"
_BLOCK = re.compile(rf"{re.escape(_BEGIN)}\n.*?{re.escape(_END)}", re.DOTALL)


def pages(docs: Path) -> dict[str, str]:
    """The pages that hold the block's two comments, by file name, with the table between them."""
    made = {}
    for page in sorted(docs.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if _BEGIN in text:
            made[page.name] = _BLOCK.sub(lambda _: f"{_BEGIN}\n{_table()}\n{_END}", text)
    return made


def _table() -> str:
    rows = [f"| `{reason}` | {told.meaning} | {told.remedy} |" for reason, told in REASONS.items()]
    return "\n".join(["| reason | the row | what to do |", "|---|---|---|", *rows])
