"""``referrals dead``: what could not be processed, and what becomes of it."""

import base64
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer

from worker.cli import console, options
from worker.cli.commands import Commands
from worker.cli.dead.replay import publish_anew
from worker.cli.redaction import masked, plain
from worker.cli.settings import load
from worker.cli.store import known_controls, say_uncounted, some_of
from worker.cli.tables import Row, columns
from worker.cli.times import after, ago
from worker.errors import StoreError, UsageError
from worker.model.job import canonical
from worker.rabbitmq.connection import Parameters, parameters
from worker.rabbitmq.dead_letters import DeadLetter
from worker.rabbitmq.dead_queue import DeadQueue
from worker.rabbitmq.topology import TAKEOVERS_HEADER
from worker.settings import Settings
from worker.store.counters import Counts, counted, tally
from worker.text.visible import one_line

BATCH = 200
"""Jobs that are replayed at once: published, confirmed, then removed."""

BATCH_BYTES = 16 * 1024 * 1024
"""Of their bodies; one letter more makes it full."""

TOLD = 20
"""Reasons why letters could not be replayed, each in a line with the first of them."""

_NONE = "no dead letter matches; `referrals dead list` shows what there is"

_COLUMNS = ("id", "reason", "dead_at", "shop", "campaign", "job_id")

dead = Commands(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="The queue `referrals.dead`. Messages that could not be processed stay there until a person decides.",
)

Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", help="Dead letters, by their id or their job id.", show_default=False),
]
Reason = Annotated[str | None, typer.Option("--reason", help="Only with this reason.", show_default=False)]
OfShop = Annotated[str | None, typer.Option("--shop", help="Only of this shop.", show_default=False)]
OfCampaign = Annotated[str | None, typer.Option("--campaign", help="Only of this campaign.", show_default=False)]
OlderThan = Annotated[
    str | None,
    typer.Option(
        "--older-than",
        metavar="WHEN",
        help="Only letters that died before this: 90m, 3d, or a time.",
        show_default=False,
    ),
]
NewerThan = Annotated[
    str | None,
    typer.Option(
        "--newer-than",
        metavar="WHEN",
        help="Only letters that died since this: 90m, 3d, or a time.",
        show_default=False,
    ),
]
All = Annotated[bool, typer.Option("--all", help="All letters.")]


@dataclass(frozen=True)
class _Choice:
    ids: frozenset[str]
    reason: str | None
    shop: str | None
    campaign: str | None
    before: datetime | None
    since: datetime | None

    @classmethod
    def of(
        cls,
        ids: Sequence[str] | None,
        reason: str | None,
        shop: str | None,
        campaign: str | None,
        older_than: str | None,
        newer_than: str | None,
    ) -> "_Choice":
        now = datetime.now(UTC)
        if campaign is not None and canonical(campaign) is None:
            raise UsageError("--campaign: is empty; give a campaign's name")
        return cls(
            frozenset(ids or ()),
            reason,
            shop,
            canonical(campaign),
            ago(older_than, "--older-than", now) if older_than is not None else None,
            ago(newer_than, "--newer-than", now) if newer_than is not None else None,
        )

    def narrows(self) -> bool:
        return self != _Choice(frozenset(), None, None, None, None, None)

    def unfound(self, letters: Collection[str | None]) -> list[str]:
        """The ids that were asked for and that none of these letters' ids and job ids is."""
        return sorted(self.ids.difference(letters))

    def takes(self, letter: DeadLetter) -> bool:
        return (
            (not self.ids or letter.id in self.ids or letter.job_id in self.ids)
            and self.reason in (None, letter.reason)
            and self.shop in (None, letter.shop)
            and self.campaign in (None, canonical(letter.campaign))
            # One whose age nobody knows is neither older nor newer.
            and (self.before is None or (letter.dead_at is not None and letter.dead_at < self.before))
            and (self.since is None or (letter.dead_at is not None and letter.dead_at >= self.since))
        )


@dead.callback()
def group() -> None:
    """The queue `referrals.dead`: what could not be processed waits there for a person, for ever."""


@dead.command("list")
def list_letters(
    reason: Reason = None,
    shop: OfShop = None,
    campaign: OfCampaign = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Show at most this many; all are counted.")] = 100,
    as_json: options.Json = False,
) -> None:
    """Show what is in the dead queue, the oldest first, and how many there are of each reason.

    Looking takes nothing out, but counts: a queue's message is dropped by RabbitMQ when it was given back 100,000
    times. Watch the queue's depth by RabbitMQ's metrics rather than by this.

    Example: `referrals dead list --reason crash_loop --newer-than 2d`
    """
    choice = _Choice.of(None, reason, shop, campaign, older_than, newer_than)
    reasons: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    with DeadQueue(_connection()) as queue:
        for letter in filter(choice.takes, queue.letters()):
            reasons[letter.reason] += 1
            if len(rows) < limit:
                rows.append(_row(letter))
    if as_json:
        console.print_json({"total": reasons.total(), "reasons": dict(reasons), "letters": rows})
        return
    if rows:
        names = list(_COLUMNS)
        table = [Row([_cell(row[name]) for name in names]) for row in rows]
        width = console.width()
        if width is not None and max(map(len, columns(names, table, texts=len(names)))) > width:
            # `dead show` has it, and the id stands for it.
            names.remove("job_id")
            table = [Row(row.cells[: len(names)]) for row in table]
        console.table([name.replace("_", " ") for name in names], table, texts=len(names))
    counts = ", ".join(f"{number:,} {_cell(name)}" for name, number in reasons.most_common())
    console.say(f"{reasons.total():,} dead letters{f': {counts}' if counts else ''}")


@dead.command()
def show(
    ids: Ids = None,
    reason: Reason = None,
    shop: OfShop = None,
    campaign: OfCampaign = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show at most this many.")] = 10,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show addresses and the unchanged body.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show letters whole: body and headers. Addresses are masked unless --reveal.

    Example: `referrals dead show 5387ccdbdebf --reveal`
    """
    choice = _Choice.of(ids, reason, shop, campaign, older_than, newer_than)
    with DeadQueue(_connection()) as queue:
        shown = [_whole(letter, reveal=reveal) for letter in islice(filter(choice.takes, queue.letters()), limit)]
    if as_json:
        console.print_json(shown)
    else:
        for number, letter in enumerate(shown):
            _print_whole(letter, first=number == 0)
    if not shown:
        raise UsageError(_NONE)


@dead.command()
def replay(
    ids: Ids = None,
    reason: Reason = None,
    shop: OfShop = None,
    campaign: OfCampaign = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    every: All = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Replay at most this many.", show_default=False)
    ] = None,
    expires: options.Expires = None,
    as_json: options.Json = False,
) -> None:
    """Publish the jobs anew as their next run, each confirmed before its letter is removed.

    The new run has a job id of its own, so it is called also where the old one was answered. A letter without a
    readable job, whose shop has no queue, whose deadline is over or whose campaign is cancelled is told and left; then
    the exit code is 1, as for an id that no letter has (2 where that goes for all, and where an option such as --reason
    fits none). Results that RabbitMQ took out of
    the queue of results go back there as they are, if they are valid as a whole. Breaking off is harmless: what was
    replayed twice is one job.

    Example: `referrals dead replay --reason unknown_shop --shop acme`
    """
    choice = _Choice.of(ids, reason, shop, campaign, older_than, newer_than)
    _check(choice, every=every)
    not_after = after(expires, "--expires", datetime.now(UTC)) if expires is not None else None
    loaded = load()
    params = _connection(loaded)
    replayed = 0
    left: list[tuple[str, str]] = []
    met: set[str | None] = set()
    uncounted: StoreError | None = None
    stuck = False
    controls = known_controls(loaded)
    with DeadQueue(params) as queue:
        chosen = islice(filter(choice.takes, queue.letters()), limit)
        for batch in _batches(chosen):
            met |= _names(batch)
            told = publish_anew(batch, params, not_after, controls)
            # Each as soon as it is true, so that also what breaks off in between adds up.
            jobs = (letter.job for letter in told.done if letter.job is not None)
            uncounted = tally(loaded, counted(jobs, "published")) or uncounted
            queue.remove(told.done)
            uncounted = tally(loaded, _removed(told.done)) or uncounted
            replayed += len(told.done)
            left += [(letter.id, _cell(problem)) for letter, problem in told.left]
            if told.stuck:
                # Each batch would wait in vain for as long again.
                console.say("RabbitMQ accepts none of these; the letters after them were not tried")
                stuck = True
                break
    data = {"replayed": replayed, "left": [{"id": name, "problem": problem} for name, problem in left]}
    console.summary([("replayed", f"{replayed:,}"), ("left", f"{len(left):,}")], data, as_json=as_json)
    _tell_left(left)
    say_uncounted(uncounted)
    # An id may be that of a letter which was not looked at.
    unfound = not stuck and replayed + len(left) != limit and _tell_unfound(choice, met)
    if not met and choice.narrows():
        raise typer.Exit(2)
    if left or unfound:
        raise typer.Exit(1)


@dead.command()
def drop(
    ids: Ids = None,
    reason: Reason = None,
    shop: OfShop = None,
    campaign: OfCampaign = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    every: All = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: options.Json = False,
) -> None:
    """Remove letters for good. Nothing keeps them: `referrals dead show --reveal --json` writes them down before.

    Exit code 1: an id that no letter has (2 where that goes for all). Options that fit none are done with: 0.

    Example: `referrals dead drop --reason undecodable --older-than 30d`
    """
    choice = _Choice.of(ids, reason, shop, campaign, older_than, newer_than)
    _check(choice, every=every)
    loaded = load()
    params = _connection(loaded)
    most = None if yes else _confirm(choice, params)
    dropped = 0
    met: set[str | None] = set()
    uncounted: StoreError | None = None
    with DeadQueue(params) as queue:
        # Those that came while the person thought are behind those that they were asked about.
        chosen = islice(filter(choice.takes, queue.letters()), most)
        for batch in _batches(chosen):
            met |= _names(batch)
            queue.remove(batch)
            uncounted = tally(loaded, _removed(batch)) or uncounted
            dropped += len(batch)
    console.summary([("dropped", f"{dropped:,}")], {"dropped": dropped}, as_json=as_json)
    say_uncounted(uncounted)
    if _tell_unfound(choice, met):
        raise typer.Exit(1)


def _connection(loaded: Settings | None = None) -> Parameters:
    return parameters((loaded or load()).amqp_url.get_secret_value(), name="referral-dispatch dead")


def _tell_left(left: Sequence[tuple[str, str]]) -> None:
    names = defaultdict(list)
    for name, problem in left:
        names[problem].append(name)
    for problem, named in islice(names.items(), TOLD):
        console.say(f"{some_of(named)} can't be replayed: {problem}")


def _names(letters: Iterable[DeadLetter]) -> set[str | None]:
    return {name for letter in letters for name in (letter.id, letter.job_id)}


def _tell_unfound(choice: _Choice, met: Collection[str | None]) -> bool:
    # Whether an id that was asked for was none of the letters'.
    if not met:
        if choice.ids:
            raise UsageError(_NONE)
        console.say(_NONE)
        return False
    for name in choice.unfound(met):
        console.say(f"{name}: no dead letter has this id; `referrals dead list` shows what there is")
    return bool(choice.unfound(met))


def _removed(letters: Iterable[DeadLetter]) -> Counts:
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for letter in letters:
        # What another shop's producer has made up stands in nobody's sums.
        if letter.job is not None and letter.is_of(letter.job.shop):
            # The worker counts this kind of death itself, where it knows the job.
            counted_already = letter.worker_reason == "crash_loop" and TAKEOVERS_HEADER in letter.headers
            died = {} if counted_already else {"dead": 1}
            counts[letter.job.shop, letter.job.campaign].update({"removed": 1, **died})
    return counts


def _batches(letters: Iterator[DeadLetter]) -> Iterator[list[DeadLetter]]:
    # No more of them at once than may be held in memory, either.
    batch: list[DeadLetter] = []
    held = 0
    for letter in letters:
        batch.append(letter)
        held += len(letter.body)
        if len(batch) == BATCH or held >= BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _check(choice: _Choice, *, every: bool) -> None:
    if choice.narrows() == every:
        raise UsageError("choose letters by id or by an option such as --reason, or give --all")


def _confirm(choice: _Choice, params: Parameters) -> int:
    if not console.is_terminal():
        raise UsageError("drop removes letters for good; without a terminal to ask, give --yes")
    with DeadQueue(params) as queue:
        count = sum(1 for _ in filter(choice.takes, queue.letters()))
    if not count:
        return 0
    answer = console.stderr.input(f"Drop {count:,} dead letters for good? [y/N] ", markup=False)
    if answer.strip().lower() not in {"y", "yes"}:
        raise UsageError("nothing was done")
    return count


def _row(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "reason": masked(letter.reason),
        "detail": masked(letter.detail),
        "dead_at": letter.dead_at.isoformat(timespec="seconds") if letter.dead_at else None,
        "shop": masked(letter.shop),
        "campaign": masked(letter.campaign),
        "job_id": masked(letter.job_id),
    }


def _cell(value: str | None) -> str:
    text = one_line(str(masked(value or "-")))
    return text if len(text) <= 200 else f"{text[:199]}…"


def _whole(letter: DeadLetter, *, reveal: bool) -> dict[str, Any]:
    headers = plain(letter.headers)
    whole = _row(letter) | {"routing_key": letter.routing_key, "bytes": letter.size}
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
        # Parsed, so that no escape hides an address.
        text = json.dumps(masked(letter.content), ensure_ascii=False)
    return whole | {"routing_key": masked(letter.routing_key), "headers": masked(headers), "body": masked(text)}


def _print_whole(whole: dict[str, Any], *, first: bool) -> None:
    # Each by itself: a letter's line end must not begin what looks like a line of ours. The body's lines are indented.
    lines = [] if first else [""]
    lines += [f"{name:<8}  {whole[name] or '-'}" for name in (*_COLUMNS, "detail")]
    headers = (f"  {name}: {json.dumps(value, ensure_ascii=False)}" for name, value in whole["headers"].items())
    lines += ["headers:", *headers]
    lines += [f"body, {whole['bytes']:,} bytes:", *(f"  {line}" for line in whole["body"].split("\n"))]
    for line in lines:
        console.show(line)
