"""Ctrl-C at the commands that end by it: one line at most, and what was done by then is told."""

import re
import signal
import subprocess
import sys

import pytest

from tests.services import RabbitMQ, Vhost, wait_until
from tests.services.forwarder import slow_way
from tests.system.commands import Desk

JOBS = 20_000

UNCONFIRMED = 4_000
"""Jobs that may be published while their confirms are awaited."""

INTERRUPTED = """
import sys

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == {name!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from worker.cli import main
main()
"""


@pytest.mark.parametrize("name", ["typer", "pydantic", "rich", "pydantic_settings"])
def test_during_the_start(name: str) -> None:
    """While the libraries are imported it ends the command without a word."""
    program = [sys.executable, "-c", INTERRUPTED.format(name=name), "plan", "x.csv", "--campaign", "c"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_amid_publishing(desk: Desk, rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """The command says how many jobs are in RabbitMQ already, and they are."""
    desk.write_shops("http://127.0.0.1:1", ["acme"])
    lines = (f"c{number}@example.com\n" for number in range(JOBS))
    (desk.folder / "spring.csv").write_text("customer_email\n" + "".join(lines))
    arguments = ("publish", "spring.csv", "--shop", "acme", "--campaign", "spring", "--channel", "sms")
    with slow_way(vhost.url, JOBS * 50) as (_, url):
        publish = desk.start(*arguments, REFERRALS_AMQP_URL=url)
        wait_until(lambda: rabbitmq.depths(vhost).get("referrals.shop.acme"), 30, "the first jobs")
        publish.signal(signal.SIGINT)
        assert publish.wait(60) == 130
    told = re.fullmatch(
        r"referrals: stopped after ([\d,]+) jobs were published, which will be called; run the same command again for "
        r"the rest, or cancel the campaign\n",
        publish.stderr,
    )
    assert told, publish.stderr
    published = int(told[1].replace(",", ""))
    assert 0 < published < JOBS
    # Of the last ones RabbitMQ may have taken some whose confirm nobody waited for.
    most = published + UNCONFIRMED
    wait_until(lambda: published <= (rabbitmq.ready(vhost, "referrals.shop.acme") or 0) <= most, 20, told[1])
