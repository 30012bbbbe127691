"""The fault suite's rows: `--list` prints them, and the lines of a run or of a soak become their part of
docs/reliability.md.
"""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.programs.benchmarks.machine import facts, load, today

FOLDER = Path(__file__).parents[3] / "tests" / "faults"

HEAD = """\
# Reliability

<!-- made by scripts/faults --report: run it again rather than edit -->

Every job that RabbitMQ confirmed ends in at least one confirmed result that carries its job id, or in the dead queue,
which never expires. After a final answer Refer2 is never called again for that job while the
store keeps its ledger. If the outcome of a call is unknown, because a process died or an answer was lost, repeats
never exceed the calls that were in flight. No fault makes a shop exceed its limits by more than one burst. A store that
loses its data forgets the day's calls too, so that a limit per day begins anew.

The fault suite breaks things under load, and these are its findings. Each row is one command, `scripts/faults --only
NAME`, and `scripts/faults --list` says what each shows. For each row a judge compares the producer's confirms, the
receiving side's log, the results and the dead queue. It counts:

- **jobs** handed to RabbitMQ, and **faults** injected;
- **lost**: confirmed by RabbitMQ, and neither a result nor a dead letter;
- **repeats**: calls carried out beyond a job's first, none of them after the job's result; if a process died, these
  are the calls that it had under way, whichever job the fault struck;
- **unknown**: results that say so (`on_unknown = "report"`); **dead**: parked on purpose.

A failed row is marked; its figures are from the moment at which it gave up, when jobs were still on their way.
"""


SOAK = """\
## Soak

`scripts/faults --soak` strikes three workers under load with random faults, for half an hour: workers are killed,
stopped and frozen; RabbitMQ crashes, is restarted, unreachable or full; the store is killed, frozen, full or a replica;
Refer2 misbehaves in nine ways. Repeats are calls that were under way when a worker died or froze, and calls whose
answer was lost.
"""


def rows() -> Iterator[tuple[str, str]]:
    """The rows in the order of their files: name, and what it shows."""
    for path in sorted(FOLDER.glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield node.name.removeprefix("test_"), " ".join((ast.get_docstring(node) or "").split())


def table(lines: list[dict[str, Any]]) -> str:
    """The rows of a run as a Markdown table, with their sums."""
    order = [name for name, _ in rows()] + ["soak"]
    lines = sorted(lines, key=lambda line: (order.index(line["row"].split("[")[0]), line["row"]))
    columns = ("jobs", "faults", "lost", "repeats", "unknown", "dead")
    told = [f"| row | {' | '.join(columns)} | seconds |", f"| --- |{' ---: |' * (len(columns) + 1)}"]
    for line in lines:
        figures = [f"{line[column]:,}" for column in columns]
        mark = "" if line["passed"] else " **failed**"
        told.append(f"| `{line['row']}`{mark} | {' | '.join(figures)} | {line['seconds']:.0f} |")
    sums = [f"**{sum(line[column] for line in lines):,}**" for column in columns]
    if len(lines) > 1:
        told.append(f"| {len(lines)} rows | {' | '.join(sums)} | {sum(line['seconds'] for line in lines):.0f} |")
    left_out = set(order[:-1]).difference(line["row"].split("[")[0] for line in lines)
    if left_out and len(left_out) < len(order) - 1:
        told += ["", f"Not run: {', '.join(f'`{name}`' for name in order if name in left_out)}."]
    return "\n".join(told)


def main(arguments: list[str]) -> None:
    """`--list`, or the file with a run's lines, RabbitMQ's version, what was run and the document to write."""
    if arguments == ["--list"]:
        for name, shows in rows():
            print(f"{name}\n    {shows}")
        return
    source, rabbitmq, form, target = arguments
    lines = [json.loads(line) for line in Path(source).read_text().splitlines()]
    ran = f"`{form}`, {today()}; {facts(rabbitmq)}; load averages at its end {load()}."
    # Each kind of run leaves the other's part as it is.
    before, _, after = Path(target).read_text().partition(SOAK)
    if any(line["row"] == "soak" for line in lines):
        after = f"\n{ran}\n\n{table(lines)}\n"
    else:
        before = f"{HEAD}\n{ran}\n\n{table(lines)}\n"
    Path(target).write_text(f"{before.rstrip()}\n\n{SOAK if after else ''}{after}".rstrip() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
