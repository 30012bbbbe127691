"""What a process lives on runs out: it goes on once there is some again, and loses nothing meanwhile."""

import psutil

from tests.faults.site import PATIENCE, Site
from tests.faults.upstream import PROMPT, Behaviour, always, slow
from tests.faults.worker import Worker
from tests.services import wait_until
from tests.unit.rawserver import Connection

JOBS = 150


def hanging_up() -> Behaviour:
    """Answers, and closes the connection: the next call needs a new one."""

    def reply(connection: Connection) -> None:
        PROMPT.reply(connection)
        connection.close()

    return Behaviour("sent", reply)


def child_of(worker: Worker) -> psutil.Process:
    """Its one process that makes the calls."""
    (child,) = worker.children()
    return child


def test_no_file_descriptors(site: Site) -> None:
    """Calls can't connect and connections can't be made anew: the shops are closed, and open again by themselves."""
    site.configure(per_second=4, burst=5)
    site.upstream.plan = always(hanging_up())
    (worker,) = site.start(1)
    child = child_of(worker)
    usual = child.rlimit(psutil.RLIMIT_NOFILE)
    site.publish(site.jobs(JOBS))
    wait_until(lambda: len(site.upstream.calls()) > JOBS // 4, PATIENCE, "calls in mid-campaign")
    child.rlimit(psutil.RLIMIT_NOFILE, (3, usual[1]))
    site.faults += 1
    wait_until(lambda: site.events("shop_closed"), PATIENCE, "a shop to be closed")
    # Its connection to RabbitMQ falls too and can't be made again.
    site.rabbitmq.ctl("close_all_connections", "--vhost", site.vhost.name, "no descriptors left")
    wait_until(lambda: site.events("consumer_disconnected"), PATIENCE, "the connection to be missed")
    child.rlimit(psutil.RLIMIT_NOFILE, usual)
    site.configure()
    site.settle()

    site.judge()
    assert site.ended.outcomes == {"sent": JOBS}
    site.stop()


def test_nobody_reads_the_log(site: Site) -> None:
    """The pipe that the log goes to is closed: jobs are done all the same, and the worker stops in order."""
    site.upstream.plan = always(slow(0.02))
    (worker,) = site.start(1, through=["head", "-c", "500"])
    site.faults += 1
    site.publish(site.jobs(JOBS))
    site.settle()

    site.judge()
    assert site.ended.outcomes == {"sent": JOBS}
    assert worker.process.unread, "somebody read the log to the end: this row shows nothing"
    site.stop()
