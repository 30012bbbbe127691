"""What the commands that take letters out of the dead queue share: batches, counts, and ids that match nothing."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

from worker.cli import console, orders
from worker.cli.dead.selection import Selection
from worker.cli.settings import load
from worker.errors import UsageError
from worker.model.orders import Origin
from worker.rabbitmq.connection import Parameters, parameters
from worker.rabbitmq.dead_letters import DeadLetter
from worker.rabbitmq.topology import TAKEOVERS_HEADER
from worker.settings import Settings
from worker.store.counters import Counts

NO_MATCH = "no dead letter matches; `referrals dead list` shows what there is"

BATCH = 200
"""Letters that are handled together: published, confirmed, then removed."""

BATCH_BYTES = 16 * 1024 * 1024
"""Bytes of bodies after which a batch is full. One more letter may exceed it."""


def connection(loaded: Settings | None = None) -> Parameters:
    """The connection of a `dead` command, under a name that RabbitMQ's list of connections shows."""
    return parameters((loaded or load()).amqp_url.get_secret_value(), name="referral-dispatch dead")


def batches(letters: Iterator[DeadLetter]) -> Iterator[list[DeadLetter]]:
    """The letters in lists that are bounded in number and in memory."""
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


def names_of(letters: Iterable[DeadLetter]) -> set[str | None]:
    """The ids by which letters can be selected: their own and those of their jobs."""
    return {name for letter in letters for name in (letter.id, letter.job_id)}


def removed(letters: Iterable[DeadLetter]) -> Counts:
    """What removed letters add to their campaigns' counts.

    `referrals status` adds up jobs by these counts: each letter that leaves the queue counts as a death and as removed.
    """
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for letter in letters:
        # A producer can put any shop's name into a body. Only a letter that came from the shop's own queue counts.
        if letter.job is not None and letter.is_of(letter.job.shop):
            # A worker that gives a job up after too many takeovers has counted that death itself.
            counted_already = letter.worker_reason == "crash_loop" and TAKEOVERS_HEADER in letter.headers
            died = {} if counted_already else {"dead": 1}
            counts[letter.job.shop, letter.job.campaign].update({"removed": 1, **died})
    return counts


@contextmanager
def recorded(
    loaded: Settings, action: str, given: Origin, selection: Selection, letters: Callable[[], int]
) -> Iterator[None]:
    """Remember for ``referrals log`` how many ``letters`` were handled within it, however it ends."""
    try:
        yield
    finally:
        if number := letters():
            which = f" ({selection.reason})" if selection.reason is not None else ""
            detail = f"{number:,} {'letter' if number == 1 else 'letters'}{which}"
            orders.record(loaded, action, given, detail, shop=selection.shop, campaign=selection.campaign)


def require_choice(selection: Selection, *, every: bool) -> None:
    """Check that letters are selected, or that ``every`` letter is asked for, and not both.

    Raises:
      UsageError: neither or both.
    """
    if selection.is_everything != every:
        raise UsageError("choose letters by id or by an option such as --reason, or give --all")


def report_unfound(selection: Selection, met: Collection[str | None]) -> bool:
    """Print the selected ids that no letter has; ``met`` are the names of the letters that were found.

    Returns whether there are such ids.

    Raises:
      UsageError: letters are selected by id, and none was found.
    """
    if not met:
        if selection.ids:
            raise UsageError(NO_MATCH)
        console.say(NO_MATCH)
        return False
    unfound = selection.unfound(met)
    for name in unfound:
        console.say(f"{name}: no dead letter has this id; `referrals dead list` shows what there is")
    return bool(unfound)
