"""Celery with its pool of threads: ``celery -A scripts.programs.benchmarks.peers.celery_worker worker -P threads``; as
a program, it sends jobs from its input.

One quorum queue, late acknowledgement, each result published confirmed before it.
"""

import json
import sys
from typing import Any

from celery import Celery

from scripts.programs.benchmarks.peers import refer2
from scripts.programs.benchmarks.peers.threaded import call

app = Celery("refer", broker=refer2.AMQP_URL)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_pool_limit=refer2.THREADS + 1,
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_default_queue="refer",
    task_default_queue_type="quorum",
    task_ignore_result=True,  # it goes to the results' exchange instead
)


def refer(task: Any, job: dict[str, Any]) -> None:
    """One call, one result."""
    called_at = refer2.now()
    result = refer2.result(job, call(job), called_at, task.request.retries + 1)
    with app.producer_pool.acquire(block=True) as producer:
        producer.publish(
            result,
            exchange=refer2.EXCHANGE,
            routing_key=refer2.routing_key(job),
            content_type="application/json",
            content_encoding="utf-8",
            message_id=job["job_id"],
            delivery_mode=2,
            mandatory=True,
        )


# Its limiter is one for each kind of task and process; so that each shop gets one, each shop has a task of its own.
_LIMIT = f"{refer2.PER_SECOND}/s" if refer2.PER_SECOND else None
_RETRIED = {"autoretry_for": (Exception,), "max_retries": None, "retry_backoff": 1, "retry_backoff_max": 2}
tasks = {
    shop: app.task(name=f"refer-{shop}", bind=True, rate_limit=_LIMIT, **_RETRIED)(refer) for shop in refer2.TOKENS
}

if __name__ == "__main__":
    for line in sys.stdin:
        sent = json.loads(line)
        tasks[sent["shop"]].delay(sent)
