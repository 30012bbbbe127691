"""The question for the journal's length, where RabbitMQ does not answer."""

import threading

import pytest
from structlog.testing import capture_logs

from tests.services import wait_until
from tests.services.process import free_ports
from worker.rabbitmq.connection import Parameters, parameters
from worker.rabbitmq.journal_question import JournalQuestion


def asking() -> list[threading.Thread]:
    """The threads that ask."""
    return [thread for thread in threading.enumerate() if thread.name == "journal"]


@pytest.mark.parametrize("broken", [False, True])
def test_goes_on_asking_until_it_is_closed(broken: bool) -> None:
    """Nobody is called meanwhile, so an error ends no question; there is one at a time."""
    (port,) = free_ports(1)
    # Without a node our own code fails, as by a mistake.
    params = Parameters(()) if broken else parameters(f"amqp://127.0.0.1:{port}", name="tested")
    question = JournalQuestion(params, lambda: None)
    with capture_logs() as logs:
        question.ask(1)
        question.ask(2)
        wait_until(lambda: len(logs) > 1, 10, "two attempts")
    assert ("error" in logs[0], {entry["event"] for entry in logs}) == (broken, {"journal_unknown"})
    assert (len(asking()), bool(question.answers), question.take()) == (1, False, None)
    question.close()
    wait_until(lambda: not asking(), 10, "the thread to end")


def test_ends_once_nobody_wants_to_know() -> None:
    """The doubt was settled by connecting; the next one is asked about at once, and not after the last one's pause."""
    (port,) = free_ports(1)
    woken = threading.Event()
    params = parameters(f"amqp://127.0.0.1:{port}", name="tested")
    question = JournalQuestion(params, woken.set, pauses=(3600, 3600))
    with capture_logs() as logs:
        question.ask(1)
        wait_until(lambda: len(logs) == 1, 10, "an attempt")
        question.ask(None)
        wait_until(woken.is_set, 10, "the thread to end")
        assert (bool(question.answers), question.take(), bool(question.answers)) == (True, None, False)
        question.ask(2)
        wait_until(lambda: len(logs) == 2, 10, "the next attempt")
    question.close()
    wait_until(lambda: not asking(), 10, "the thread to end")
