"""``referrals forget``: a person is called no more, and what is known of her address is erased where it can be."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from worker.cli import console, options, orders
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.model.job import Job
    from worker.model.suppression import AddressKey
    from worker.results.wanted import Wanted
    from worker.settings import Settings
    from worker.store.counters import Counts


class Left(NamedTuple):
    """A file that has the address still, and how many days ago it was written."""

    path: Path
    days: int


def forget(
    address: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS",
            help="The address; - reads it from standard input, which no shell's history keeps.",
            show_default=False,
        ),
    ],
    folders: Annotated[
        list[Path] | None,
        typer.Option(
            "--in",
            metavar="PATH",
            help="Folder or file to look for the address in; nothing is changed there. [default: this folder]",
            show_default=False,
        ),
    ] = None,
    postgres: options.Postgres = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    reason: orders.Reason = None,
    author: orders.As = None,
    as_json: options.Json = False,
) -> None:
    """Forget a person: suppress her address in every shop, and erase it where that costs nobody else anything.

    Her jobs are taken out of the delay queues, the lanes of held jobs and the dead queue, and her results out of
    PostgreSQL, where REFERRALS_POSTGRES_URL or --postgres names one. What waits in a shop's own queue ends as
    `cancelled` when its turn comes, without a call; that result has the address once more, so give this command again
    after the campaign. Files are not changed: those that have the address are listed, with their age. Packed files and
    backups are not looked into.

    Nothing that is kept has the address afterwards but a hash by REFERRALS_SUPPRESSION_KEY, which keeps her from being
    called; `referrals log` doesn't have it either.

    Example: `referrals forget - --in /var/lib/referrals --reason "her letter of May 2"`
    """
    from worker.cli.database import location
    from worker.cli.find import typed
    from worker.cli.settings import load
    from worker.cli.store import say_uncounted
    from worker.cli.suppress.lists import connection, opened, require_key
    from worker.model.addresses import normalized_email
    from worker.model.controls import EVERY_SHOP
    from worker.rabbitmq.queue_inspection import queue_length
    from worker.rabbitmq.topology import RESULTS
    from worker.results.wanted import Wanted
    from worker.store.counters import tally

    given = orders.origin(author, reason)
    text = (typed("Whose address:") if address == "-" else address).strip()
    if normalized_email(text) is None:
        raise UsageError("ADDRESS: is no e-mail address")
    loaded = load()
    key = require_key(loaded)
    where = location(postgres, loaded)
    if not yes:
        if not console.is_terminal():
            raise UsageError("forget erases for good; without a terminal to ask, give --yes")
        console.ask("Erase this address for good?")
    wanted = Wanted.parse(text)
    with opened(loaded, "forget") as (store, lists):
        lists.change("add", EVERY_SHOP, [key.hashed(text)])
        # No address and no count by shop: this is kept for a year.
        store.record("forget", given, shop=EVERY_SHOP, detail="1 address")
    taken, counts = _taken(loaded, key, text)
    uncounted = tally(loaded, counts)
    erased = None
    if where is not None:
        from worker.results.postgres.erasure import erase

        erased = erase(where, wanted)
    waiting = queue_length(connection(loaded), RESULTS)
    left = list(_left(folders or [Path()], wanted))
    data: dict[str, Any] = {
        "suppressed": True,
        "taken_out": dict(taken),
        "erased_results": erased,
        "results_waiting": waiting,
        "files": [{"path": str(file.path), "days": file.days} for file in left],
    }
    rows = [("suppressed", "in every shop")]
    rows += [(f"taken out of {queue}", f"{number:,}") for queue, number in taken.items()]
    rows.append(("erased in PostgreSQL", "no database is named" if erased is None else f"{erased:,}"))
    console.summary(rows, data, as_json=as_json)
    say_uncounted(uncounted)
    if waiting:
        console.say(f"{waiting:,} results wait in {RESULTS} and may have the address: collect them, then forget again")
    for file in left:
        console.say(f"{file.path}: has the address, and was written {file.days:,} days ago")
    console.say(
        "not looked into: packed files and backups, and the shops' own queues, whose jobs of this person end without a "
        "call; docs/retention.md says how long each keeps an address"
    )


def _taken(loaded: Settings, key: AddressKey, address: str) -> tuple[Counter[str], Counts]:
    """Take the person's messages out of queues where nobody waits for them; how many of each, and of each campaign."""
    from worker.cli.dead.queue import batches, removed
    from worker.cli.suppress.lists import connection
    from worker.errors import DeadLetterError
    from worker.model.message import parse_message
    from worker.rabbitmq.dead_queue import DeadQueue
    from worker.rabbitmq.queue_sweep import sweep
    from worker.rabbitmq.topology import DEAD, DELAY_PREFIX, DELAYS, LANE_PREFIXES
    from worker.shops.file import readable_shops

    hashed, plain = key.hashed(address), address.lower().encode()

    def job_in(body: bytes) -> Job | None:
        try:
            return parse_message(body)
        except DeadLetterError:
            return None

    def is_hers(body: bytes) -> bool:
        job = job_in(body)
        if job is None:
            # Whatever it is, nobody is going to call it.
            return plain in body.lower()
        return hashed in key.of_job(job.customer.email, job.destination)

    shops = readable_shops(loaded.shops)
    queues = [f"{DELAY_PREFIX}{seconds}" for seconds in DELAYS]
    queues += [LANE_PREFIXES["held"] + shop for shop in (*shops.shops, *shops.others)]
    params = connection(loaded)
    taken: Counter[str] = Counter()
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for queue in queues:
        for body in sweep(params, queue, is_hers):
            taken[queue] += 1
            if (job := job_in(body)) is not None:
                # As a dead letter that is dropped: the job has ended, and is no longer there.
                counts[job.shop, job.campaign].update({"dead": 1, "removed": 1})
    with DeadQueue(params) as dead:
        for batch in batches(letter for letter in dead.letters() if is_hers(letter.body)):
            dead.remove(batch)
            taken[DEAD] += len(batch)
            for campaign, counted in removed(batch).items():
                counts[campaign].update(counted)
    return taken, counts


def _left(paths: list[Path], wanted: Wanted) -> Iterator[Left]:
    """The files below these paths that have the address as it stands."""
    import time

    needles = wanted.needles()
    for path in paths:
        if not path.exists():
            raise UsageError(f"--in {path}: is no file and no folder")
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and not file.is_symlink() and _has(file, needles):
                yield Left(file, int((time.time() - file.stat().st_mtime) // 86_400))


_AT_A_TIME = 1024 * 1024


def _has(file: Path, needles: list[bytes]) -> bool:
    from worker.errors import InputError

    overlap = max(map(len, needles), default=1) - 1
    tail = b""
    try:
        with file.open("rb") as stream:
            while block := stream.read(_AT_A_TIME):
                text = (tail + block).lower()
                if any(needle in text for needle in needles):
                    return True
                tail = text[-overlap:] if overlap else b""
    except OSError as error:
        raise InputError(f"{file}: can't be read: {error.strerror}") from error
    return False
