"""Publishes dead letters again: which of them can be, as what, and whether RabbitMQ has confirmed it."""

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
class Republished:
    """What became of some letters: those that are ``done`` (confirmed), and those that are ``left``, each with why.

    ``stuck``: RabbitMQ refused all of them, or confirmed none. It may be out of memory, or gone.
    """

    done: list[DeadLetter] = field(default_factory=list)
    left: list[tuple[DeadLetter, str]] = field(default_factory=list)
    stuck: bool = False


def publish_anew(
    letters: Iterable[DeadLetter], params: Parameters, not_after: datetime | None, controls: Controls | None
) -> Republished:
    """Publish jobs as their next run and results unchanged; nothing is removed from the dead queue.

    ``not_after`` replaces the jobs' deadline if it is given. ``controls`` tell which campaigns are cancelled; None
    where that is unknown. Blocks for up to 30 s, until RabbitMQ has confirmed every message.
    """
    outcome = Republished()
    messages: list[tuple[DeadLetter, Outgoing]] = []
    for letter in letters:
        message = message_of(letter, not_after, controls)
        if isinstance(message, str):
            outcome.left.append((letter, message))
        else:
            messages.append((letter, message))
    errors = publish_each([message for _, message in messages], params) if messages else []
    for (letter, _), error in zip(messages, errors, strict=True):
        if error is None:
            outcome.done.append(letter)
        else:
            outcome.left.append((letter, str(error)))
    outcome.stuck = bool(errors) and all(isinstance(error, UnconfirmedError | AccessRefusedError) for error in errors)
    return outcome


def message_of(letter: DeadLetter, not_after: datetime | None, controls: Controls | None) -> Outgoing | str:
    """The message to publish for a letter, or the reason why there is none."""
    if letter.discarded is not None:
        return letter.discarded.detail
    try:
        return _result(letter) if letter.is_result else _job(letter, not_after, controls)
    except ReferralError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - whatever a producer wrote must not stop the letters behind it
        return f"no message can be made of it ({type(error).__name__} at {raised_at(error)})"


def _result(letter: DeadLetter) -> Outgoing:
    # RabbitMQ can dead-letter results too, for example by a policy with a time to live. Workers keep no copy of a
    # confirmed result, so the letter is the last one.
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
    # A held one as well goes to its shop's own queue: a worker that knows why moves it again.
    message = outgoing(job, now, lane="urgent" if letter.lane == "urgent" else "bulk")
    # What a worker would dead-letter again at once stays where it is.
    decode_message(message.body)
    return message


def _foreign(letter: DeadLetter, shop: str) -> str:
    # RabbitMQ may restrict a producer to the queues of its own shops. Through one of these it could dead-letter a job
    # of another shop; replaying that job would publish for a shop which the producer may not publish for.
    if letter.shop != shop:
        return f"its job belongs to another shop than {letter.shop}, whose queue it came from"
    remedy = f"if {shop} recognises it, publish its body to the exchange referrals with the routing key {shop}"
    return f"RabbitMQ does not report which shop's queue it came from; {remedy}"
