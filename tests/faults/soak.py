"""Half an hour of faults at random, under load: `scripts/faults --soak`. Not one of the rows, and not for CI."""

import os
import random
import signal
import time

import pytest
import redis

from tests.faults import behaviours
from tests.faults.site import LEASE_SECONDS, PATIENCE, THREADS, Site
from tests.faults.upstream import PROMPT, Behaviour, always, slow
from tests.services import wait_until

WORKERS = 3
PER_SECOND = 20
USUAL = always(slow(0.1))

MISBEHAVIOURS = (
    behaviours.UNAVAILABLE,
    behaviours.RESET,
    behaviours.TRUNCATED,
    behaviours.NO_REFERRAL,
    behaviours.FIREWALL,
    behaviours.BAD_TOKEN,
    behaviours.THROTTLED,
)


class Soak:
    """Faults to choose from. ``due`` counts the calls that they may have made twice."""

    def __init__(self, site: Site, dice: random.Random) -> None:
        self.site = site
        self.dice = dice
        self.due = 0

    def killed(self) -> None:
        """A worker is killed."""
        self.dice.choice(self.site.workers).kill()
        self.due += THREADS

    def stopped(self) -> None:
        """A worker is stopped in order."""
        process = self.dice.choice(self.site.workers).process
        process.signal(signal.SIGTERM, group=self.dice.random() < 0.5)
        assert process.wait(PATIENCE) == 0, process.stderr[-2000:]

    def frozen(self) -> None:
        """A worker stands still, for a moment or past its leases."""
        process = self.dice.choice(self.site.workers).process
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(self.dice.choice((2, LEASE_SECONDS + 4)))  # the fault's length, as those below
        os.killpg(process.pid, signal.SIGCONT)
        self.due += THREADS

    def disconnected(self) -> None:
        """RabbitMQ closes every connection."""
        self.site.rabbitmq.ctl("close_all_connections", "--vhost", self.site.vhost.name, "soak")

    def store_stood_still(self) -> None:
        """The store doesn't answer for some seconds."""
        client = redis.Redis.from_url(self.site.valkey.url)
        pid = client.info("server")["process_id"]
        os.kill(pid, signal.SIGSTOP)
        time.sleep(3)
        os.kill(pid, signal.SIGCONT)
        client.script_flush()
        client.close()

    def misanswered(self) -> None:
        """Refer2 misbehaves in one way, for some of the calls."""
        bad, share = self.dice.choice(MISBEHAVIOURS), self.dice.choice((0.2, 1.0))

        def plan(_call: object) -> Behaviour:
            return bad if self.dice.random() < share else PROMPT

        self.site.upstream.plan = plan
        time.sleep(5)
        self.site.upstream.plan = USUAL


@pytest.mark.timeout(0)
def test_soak(site: Site, request: pytest.FixtureRequest) -> None:
    """Whatever happens in whatever order: nothing is lost, and no more is repeated than was under way or unreadable."""
    seconds = 60 * float(request.config.getoption("--minutes"))
    seed = int(request.config.getoption("--seed") or time.time())
    print(f"seed {seed}")
    soak = Soak(site, random.Random(seed))
    faults = (soak.killed, soak.stopped, soak.frozen, soak.disconnected, soak.store_stood_still, soak.misanswered)
    site.upstream.plan = USUAL
    site.start(WORKERS)
    end = time.monotonic() + seconds
    with site.load(per_second=PER_SECOND):
        while time.monotonic() < end:
            soak.dice.choice(faults)()
            site.faults += 1
            site.mend()
            wait_until(lambda: all(worker.ready() for worker in site.workers), PATIENCE, "every worker to be ready")
            time.sleep(soak.dice.uniform(0, 5))
    site.settle(600)

    unreadable = sum(site.upstream.treated()[bad.name] for bad in MISBEHAVIOURS if bad.carries_out)
    site.judge(repeats=soak.due + unreadable)
