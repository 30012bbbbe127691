"""Dead letters published anew: which of them can be, as what, and whether RabbitMQ has confirmed it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from worker.clock import SystemClock
from worker.errors import AccessRefusedError, DeadLetterError, ReferralError, UnconfirmedError, raised_at
from worker.model.controls import Controls
from worker.model.job import is_expired
from worker.model.message import decode_message, parse_message
from worker.model.result import parse_result
from worker.rabbitmq.connection import Parameters
from worker.rabbitmq.dead_letters import DeadLetter
from worker.rabbitmq.outgoing import Outgoing, ignore_outcome
from worker.rabbitmq.producer import outgoing, publish_each
from worker.rabbitmq.topology import RESULTS


@dataclass
class Replayed:
    """What became of some letters: ``done`` are confirmed, and why the others are ``left``.

    ``stuck`` says that RabbitMQ refused them all, or was silent about them: it may be out of memory, or away.
    """

    done: list[DeadLetter] = field(default_factory=list)
    left: list[tuple[DeadLetter, str]] = field(default_factory=list)
    stuck: bool = False


def publish_anew(
    letters: Iterable[DeadLetter], params: Parameters, not_after: datetime | None, controls: Controls | None
) -> Replayed:
    """Publish jobs as their next run, with another deadline if there is one, and results as they are.

    A result is one that RabbitMQ took out of the queue of results, and that is valid as a whole.

    Blocks for 30 s at the longest. Removes nothing.
    """
    told = Replayed()
    messages: list[tuple[DeadLetter, Outgoing]] = []
    for letter in letters:
        message = _message(letter, not_after, controls)
        if isinstance(message, str):
            told.left.append((letter, message))
        else:
            messages.append((letter, message))
    errors = publish_each([message for _, message in messages], params) if messages else []
    for (letter, _), error in zip(messages, errors, strict=True):
        if error is None:
            told.done.append(letter)
        else:
            told.left.append((letter, str(error)))
    told.stuck = bool(errors) and all(isinstance(error, UnconfirmedError | AccessRefusedError) for error in errors)
    return told


def _message(letter: DeadLetter, not_after: datetime | None, controls: Controls | None) -> Outgoing | str:
    # Or why there is none.
    if letter.discarded is not None:
        return letter.discarded.detail
    try:
        return _result(letter) if letter.is_result else _job(letter, not_after, controls)
    except ReferralError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - whatever its producer wrote, the letters beside it go on
        return f"no message can be made of it ({type(error).__name__} at {raised_at(error)})"


def _result(letter: DeadLetter) -> Outgoing:
    result = parse_result(letter.body)
    if letter.routing_key.partition(".")[0] != result.shop:
        raise DeadLetterError("bad_schema", "the result belongs to another shop than its routing key")
    return Outgoing(RESULTS, letter.routing_key, letter.body, ignore_outcome)


def _job(letter: DeadLetter, not_after: datetime | None, controls: Controls | None) -> Outgoing | str:
    job = parse_message(letter.body).replay(not_after=not_after)
    if not letter.is_of(job.shop):
        return _foreign(letter, job.shop)
    now = SystemClock().now()
    if is_expired(job, now):
        return "its deadline has passed, so it would end as expired; give it a new one with --expires"
    if controls is not None and controls.is_cancelled(job.campaign, job.shop, now):
        return "its campaign is cancelled, so it would end as cancelled; run `referrals cancel --undo` first"
    message = outgoing(job, now)
    # What a worker would only bury again is left where it is.
    decode_message(message.body)
    return message


def _foreign(letter: DeadLetter, shop: str) -> str:
    # Any of a producer's own shops is good enough to bury a job of another one, which it may not publish for.
    if letter.shop != shop:
        return f"its job belongs to another shop than {letter.shop}, whose queue it came from"
    remedy = f"if {shop} recognises it, publish its body to the exchange referrals with the routing key {shop}"
    return f"RabbitMQ does not report which shop's queue it came from; {remedy}"
