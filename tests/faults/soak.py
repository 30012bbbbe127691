"""Half an hour of faults at random, under load: `scripts/faults --soak`. Not one of the rows, and not for CI."""

import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.faults import behaviours, broker_faults, store_faults
from tests.faults.broker_faults import HEARTBEAT_SECONDS
from tests.faults.site import LEASE_SECONDS, PATIENCE, THREADS, Heal, Site
from tests.faults.upstream import PROMPT, Behaviour, always, slow
from tests.services import wait_until

WORKERS = 3
PER_SECOND = 20
USUAL = always(slow(0.1))

FAULT_SECONDS = 5
"""How long what has to be ended lasts."""

MISBEHAVIOURS = (
    behaviours.UNAVAILABLE,
    behaviours.RESET,
    behaviours.TRUNCATED,
    behaviours.DRIPPING,
    behaviours.BOMB,
    behaviours.NO_REFERRAL,
    behaviours.FIREWALL,
    behaviours.BAD_TOKEN,
    behaviours.THROTTLED,
)


class Soak:
    """Faults to choose from. ``due`` counts the calls that they may have made twice, but for unreadable answers."""

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
        worker = self.dice.choice(self.site.workers)
        worker.terminate(group=self.dice.random() < 0.5)
        assert worker.process.wait(PATIENCE) == 0, worker.process.stderr[-2000:]

    def frozen(self) -> None:
        """A worker stands still, for a moment or past its leases."""
        process = self.dice.choice(self.site.workers).process
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(self.dice.choice((2, LEASE_SECONDS + 4)))  # the fault's length, as those below
        os.killpg(process.pid, signal.SIGCONT)
        self.due += THREADS

    def broker_fails(self) -> None:
        """RabbitMQ crashes, restarts, closes every connection or drops every packet."""
        self.dice.choice(
            (
                broker_faults.crashed,
                broker_faults.application_restarted,
                broker_faults.connections_closed,
                broker_faults.unreachable,
            )
        )(self.site)

    def broker_is_full(self) -> None:
        """RabbitMQ has no memory or no disk left for a while."""
        self._for_a_while(self.dice.choice((broker_faults.out_of_memory, broker_faults.out_of_disk)))

    def store_fails(self) -> None:
        """The store is killed, stands still, is full or has become a replica, or has forgotten its scripts."""
        self._for_a_while(
            self.dice.choice(
                (store_faults.killed, store_faults.frozen, store_faults.out_of_memory, store_faults.read_only)
            )
        )
        with store_faults.client(self.site) as client:
            client.script_flush()

    def misanswered(self) -> None:
        """Refer2 misbehaves in one way, for some of the calls."""
        bad, share = self.dice.choice(MISBEHAVIOURS), self.dice.choice((0.2, 1.0))
        # Asked in another thread, and so of dice of its own: the order of the faults depends on the seed alone.
        dice = random.Random(self.dice.random())

        def plan(_call: object) -> Behaviour:
            return bad if dice.random() < share else PROMPT

        self.site.upstream.plan = plan
        time.sleep(FAULT_SECONDS)
        self.site.upstream.plan = USUAL

    def _for_a_while(self, fault: Callable[[Site], Heal]) -> None:
        heal = fault(self.site)
        time.sleep(FAULT_SECONDS)
        heal()


@pytest.mark.timeout(0)
def test_soak(site: Site, request: pytest.FixtureRequest) -> None:
    """Whatever happens in whatever order: nothing is lost, and no more is repeated than was under way or unreadable."""
    seconds = 60 * float(request.config.getoption("--minutes"))
    seed = int(request.config.getoption("--seed") or time.time())
    print(f"seed {seed}")
    soak = Soak(site, random.Random(seed))
    faults = (
        soak.killed,
        soak.stopped,
        soak.frozen,
        soak.broker_fails,
        soak.broker_is_full,
        soak.store_fails,
        soak.misanswered,
    )
    site.desk.env["REFERRALS_AMQP_URL"] += f"?heartbeat={HEARTBEAT_SECONDS}"
    site.configure(per_second=PER_SECOND / 2, burst=10)
    site.upstream.plan = USUAL
    site.start(WORKERS)
    end = time.monotonic() + seconds
    with site.load(per_second=PER_SECOND):
        while time.monotonic() < end:
            soak.dice.choice(faults)()
            site.faults += 1
            site.revive()
            wait_until(lambda: all(worker.ready() for worker in site.workers), PATIENCE, "every worker to be ready")
            time.sleep(soak.dice.uniform(0, 5))
    site.settle(3 * PATIENCE)

    unreadable = sum(site.upstream.treated()[bad.name] for bad in MISBEHAVIOURS if bad.carries_out)
    verdict = site.judge(repeats=soak.due + unreadable)
    # No fault lasts for as long as five attempts.
    assert site.ended.outcomes == {"sent": len(verdict.ok)}
