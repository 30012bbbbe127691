"""A dead letter as it is shown: as a row in a list, or whole. Addresses are masked unless a person asks for them."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from worker.cli import console
from worker.cli.redaction import masked, plain
from worker.cli.times import instant_of
from worker.instants import from_datetime, rfc3339, utc_text
from worker.rabbitmq.dead_letters import DeadLetter
from worker.text.visible import one_line

COLUMNS = ("id", "reason", "dead_at", "shop", "campaign", "job_id")
"""The columns of the list, which are also the first lines of a whole letter."""

LONGEST_CELL = 200
"""Characters of a cell. Producers choose these texts, so they may be of any length."""


def row_of(letter: DeadLetter) -> dict[str, Any]:
    """The letter without its body and headers, as `--json` lists it."""
    return {
        "id": letter.id,
        "reason": masked(letter.reason),
        "detail": masked(letter.detail),
        "dead_at": rfc3339(from_datetime(letter.dead_at)) if letter.dead_at else None,
        "shop": masked(letter.shop),
        "campaign": masked(letter.campaign),
        "job_id": masked(letter.job_id),
    }


def text_of(row: Mapping[str, Any], name: str) -> str | None:
    """One of the letter's values for a person."""
    value: str | None = row[name]
    return utc_text(instant_of(value)) if name == "dead_at" and value is not None else value


def cell_of(value: str | None) -> str:
    """A value as a table's cell: one masked line of at most :data:`LONGEST_CELL` characters."""
    text = one_line(str(masked(value or "-")))
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"


def whole_of(letter: DeadLetter, *, reveal: bool) -> dict[str, Any]:
    """The whole letter as `--json` shows it; ``reveal`` shows addresses, and the body's bytes in ``body_base64``."""
    headers = plain(letter.headers)
    whole = row_of(letter) | {"routing_key": letter.routing_key, "bytes": letter.size}
    if letter.discarded is not None:
        return whole | {
            "routing_key": letter.routing_key if reveal else masked(letter.routing_key),
            "headers": headers if reveal else masked(headers),
            "body": "(too large to show; only RabbitMQ has it)",
            "body_base64": None,
        }
    text = letter.body.decode(errors="backslashreplace")
    if reveal:
        return whole | {"headers": headers, "body": text, "body_base64": base64.b64encode(letter.body).decode()}
    if letter.content is not None:
        # JSON can escape an address (`\u0040`), which no mask for text would find. Parsed and written again, it can't.
        text = json.dumps(masked(letter.content), ensure_ascii=False)
    return whole | {"routing_key": masked(letter.routing_key), "headers": masked(headers), "body": masked(text)}


def print_whole(whole: dict[str, Any], *, first: bool) -> None:
    """Print what :func:`whole_of` returns, for a person; an empty line parts it from the letter before."""
    # Each value is printed as one line of its own, and the body's lines are indented. So a line break in a letter can't
    # start what looks like a line of ours.
    lines = [] if first else [""]
    lines += [f"{name:<8}  {text_of(whole, name) or '-'}" for name in (*COLUMNS, "detail")]
    headers = (f"  {name}: {json.dumps(value, ensure_ascii=False)}" for name, value in whole["headers"].items())
    lines += ["headers:", *headers]
    lines += [f"body, {whole['bytes']:,} bytes:", *(f"  {line}" for line in whole["body"].split("\n"))]
    for line in lines:
        console.show(line)
