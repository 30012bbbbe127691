"""How ``referrals run`` ends: its summary, what is left to do, and its exit code."""

from pathlib import Path

import typer

from worker.campaigns.importer import Importer
from worker.cli import console
from worker.cli.outage import trouble_of
from worker.cli.outcome_rows import by_code, outcome_rows
from worker.cli.times import moment
from worker.embedded.run import Tally
from worker.instants import SECOND, rfc3339

MINUTE = 60 * SECOND

LEFT_FOR_LATER = 3
"""Exit code of a run that ended well and left rows for a later run."""


def summarize(importer: Importer, tally: Tally, out: Path, *, sandbox: bool, as_json: bool) -> None:
    """Print what became of the rows, the results by outcome, and where the files are."""
    # A rehearsal is marked in the first line, so that nobody takes its results for sent referrals.
    rows = [("SANDBOX", "a rehearsal: nobody was called, and the links lead nowhere")] if sandbox else []
    rows += console.import_rows(importer)
    rows += outcome_rows(tally.outcomes, tally.codes)
    if tally.parked:
        rows.append(("left for later", f"{tally.parked.total():,}"))
    rate = f", {tally.done / tally.seconds:.1f} jobs/s" if tally.done and tally.seconds else ""
    rows.append(("took", f"{tally.seconds:.1f} s{rate}"))
    rows.append(("results are in", f"{out} ({tally.earlier + tally.done:,} rows)"))
    data = {
        "rows": importer.rows,
        "rejected": dict(importer.rejected),
        "consent_ignored": list(importer.untold),
        "finished_before": importer.finished,
        "outcomes": dict(tally.outcomes),
        "codes": by_code(tally.codes),
        "left_for_later": dict(tally.parked),
        "left_until": rfc3339(tally.parked_until + SECOND - 1) if tally.parked_until else None,
        "left_for_window": tally.outside,
        "window_opens_at": rfc3339(tally.opens_at) if tally.opens_at else None,
        "halted": tally.halted,
        "braked": tally.braked,
        "stopped": tally.stopped,
        "seconds": round(tally.seconds, 3),
        "results": str(out),
        "results_rows": tally.earlier + tally.done,
        "sandbox": sandbox,
        "reject_files": [str(path) for path in importer.reject_files],
    }
    console.summary(rows, data, as_json=as_json)


def end(tally: Tally) -> None:
    """Print what is left to do, and end with the exit code for it: 1 if a person must act first, 3 for a later run."""
    for shop, code in sorted(tally.halted.items()):
        console.say(
            f"shop {shop}: {trouble_of(code)}, then run the same command again for the {tally.parked[shop]:,} rows left"
        )
    for shop, reason in sorted(tally.braked.items()):
        console.say(
            f"shop {shop}: stopped by the campaign's brake, since {reason}; look at the results, then run the same "
            f"command again for the {tally.parked[shop]:,} rows left, with --no-brake if they are as expected"
        )
    given_up = tally.halted.keys() | tally.braked.keys()
    left = sum(number for shop, number in tally.parked.items() if shop not in given_up)
    if tally.outside:
        console.say(
            f"{tally.outside:,} rows wait for their window, which opens next at {moment(tally.opens_at)}; run the same "
            "command again then, or use --wait"
        )
    waiting = left - tally.outside
    if waiting > 0:
        # Rounded up to the minute: a run that starts too early would end at once with the same line.
        until = moment(tally.parked_until + MINUTE - 1)
        console.say(
            f"{waiting:,} rows must wait until {until} at the latest (the day's quota is used up, or their customer "
            "has to wait for more than ten minutes); run the same command again then, or use --wait"
        )
    if tally.stopped:
        console.say("stopped; run the same command again to continue")
    if given_up:
        raise typer.Exit(1)
    if left or tally.stopped:
        raise typer.Exit(LEFT_FOR_LATER)
