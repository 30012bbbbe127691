"""What in docs/ is derived from the code: schemas, commands, and tables of settings, shop keys, queues, metrics,
reasons of rejected rows, outcomes and error codes.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from scripts.programs.documents import commands, metrics, tables
from worker.model.job import Job
from worker.model.lanes import EXTRA_LANES
from worker.model.result import Result
from worker.rabbitmq.topology import EXCHANGES, PRODUCER_PREFIX, Exchange, queues, shop_queue_declaration
from worker.settings import PREFIX, Settings
from worker.shops.config import ShopTable

DOCS = Path(__file__).resolve().parents[3] / "docs"

GENERATED = "<!-- made by scripts/docs from the code: change it there -->"


_LANES = """\
The queues of urgent, held and paced jobs are declared for a shop once somebody needs them. The store lists them, so
that every worker consumes them within a second. Where it has lost that list, a worker asks RabbitMQ for each such queue
that there may be; RabbitMQ logs an error for each that is not. Workers move into `referrals.held.<shop>` what must wait
for an order or a known time, and into `referrals.paced.<shop>` what is over its campaign's pace. A second campaign of a
shop that has a pace has `referrals.paced.2.<shop>`, and so on up to four. Workers of an earlier version don't consume
these queues.
"""

_MISSING_JOBS = """\
## Missing jobs

`referrals status` compares the store's counters with the queues: published = results + waiting + delayed + at worker +
dead. It says that jobs are missing if more were counted as published than are found. Either jobs are lost, or only
counts of them are; the sum covers all campaigns together.

- Jobs: somebody purged or deleted a queue, or RabbitMQ began with an empty data folder. Its log shows that.
- Jobs: a policy takes messages out of the queues (`message-ttl`, `max-length`, `expires`). `referrals status` names it
  if `REFERRALS_RABBITMQ_MANAGEMENT_URL` is set.
- Jobs: another program consumes a shop's queue, or somebody took messages out by RabbitMQ's own page. See
  `rabbitmqctl list_consumers --vhost referrals`.
- Counts: workers run without `REFERRALS_REDIS_URL`, or with another store than `referrals status` asks. Compare their
  environment with yours.
- Counts: the store lost its last seconds, or came back from an older copy. It has then lost the counts of results since
  then, and the ledger's records of these jobs; [what each setting keeps](store.md#persistence).
- Counts: the store was out of reach when results were counted (`tally_failed` in the workers' log), or a worker was
  killed at that moment, which leaves no line.

A store that lost everything has lost the published counts as well: then more jobs are found than were counted (`+`).

**What to do.** Stop the cause first. Then find out whether the jobs have results: fetch these with `referrals collect`,
and look for the rows of the export in them.

- All have one: nothing is to be done. Lost counts don't come back. The line stays until the campaign's counters end,
  one and a half times `REFERRALS_RETENTION_DAYS` after the last count.
- Some have none: publish the export again, under the same campaign. A job that has ended by the ledger ends as a
  duplicate, without a call, and the rest is sent. The line stays here as well.
- **The store has lost data**: the ledger doesn't know which jobs have ended, and publishing the whole export would call
  again for jobs that have a result. Publish only the rows that have none.
"""


def documents() -> dict[str, str]:
    """File name to text."""
    return {
        "job.schema.json": _schema(Job),
        "result.schema.json": _schema(Result),
        "configuration.md": _configuration(),
        "queues.md": _queues(),
        "metrics.md": metrics.text(GENERATED),
        **commands.pages(GENERATED),
        **tables.pages(DOCS),
    }


def main() -> int:
    """Write the files, or compare them with ``--check``; the exit code."""
    stale = [
        name
        for name, text in documents().items()
        if not (DOCS / name).exists() or (DOCS / name).read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"docs/{name} is not what the code says: run scripts/docs", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / name).write_text(documents()[name], encoding="utf-8")
        print(f"docs/{name}")
    return 0


def _schema(model: type[BaseModel]) -> str:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(by_alias=True, mode="validation"),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _configuration() -> str:
    settings = [
        (f"`{PREFIX}{name.upper()}`", _default(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    keys = [
        (f"`{name}`", _default(field.default), field.description or "")
        for name, field in ShopTable.model_fields.items()
    ]
    return "\n".join(
        [
            "# Configuration",
            "",
            GENERATED,
            "",
            "## Settings, by environment variable",
            "",
            *_table(("variable", "default", "meaning"), settings),
            "",
            "## Keys of the shops file",
            "",
            "Each may stand under `[defaults]` and under `[shops.<slug>]`, which overrides it. Paths are relative to",
            "the file. The file, and every secret it names, is re-read when it changes. While the new version is",
            "faulty, workers keep the last good one.",
            "",
            *_table(("key", "default", "meaning"), keys),
            "",
        ]
    )


def _queues() -> str:
    own = Exchange(f"{PRODUCER_PREFIX}<producer>", "direct", {})
    exchanges = [(f"`{item.name}`", item.type, _arguments(item.arguments)) for item in (*EXCHANGES, own)]
    declared = [
        (
            f"`{item.name}`",
            ", ".join(f"`{exchange}` by `{key}`" if key else f"`{exchange}`" for exchange, key in item.bindings),
            _arguments(item.arguments),
        )
        for item in (*queues(["<shop>"]), *(shop_queue_declaration("<shop>", lane) for lane in EXTRA_LANES))
    ]
    return "\n".join(
        [
            "# Exchanges and queues, version 1",
            "",
            GENERATED,
            "",
            "All are durable; `referrals work` and `referrals publish` declare them. Arguments are frozen: RabbitMQ",
            "refuses to declare a queue that exists with other ones. Tune queues by policies, and never let",
            "`referrals.results` drop its head. [What RabbitMQ may do, and what follows](rabbitmq.md).",
            "",
            "## Exchanges",
            "",
            *_table(("exchange", "type", "arguments"), exchanges),
            "",
            f"There is one `{own.name}` for each of the `producers` in the shops file, bound to the queues of its",
            "shops by `<shop>` and `<shop>.urgent`; [who may write to which](security.md).",
            "",
            "## Queues",
            "",
            *_table(("queue", "bound to", "arguments"), declared),
            "",
            *_LANES.splitlines(),
            "",
            *_MISSING_JOBS.splitlines(),
            "",
        ]
    )


def _table(head: tuple[str, str, str], rows: list[tuple[str, str, str]]) -> list[str]:
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (head, ("---",) * 3, *rows)]


def _default(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        # As it is written in a variable, and in TOML.
        return f"`{str(value).lower()}`"
    text = value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)
    return f"`{text}`" if text else "none"


def _arguments(arguments: Mapping[str, Any]) -> str:
    return "<br>".join(f"`{name}: {value}`" for name, value in arguments.items()) or "none"


if __name__ == "__main__":
    sys.exit(main())
