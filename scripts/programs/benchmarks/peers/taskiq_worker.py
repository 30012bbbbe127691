"""taskiq with aiohttp: ``taskiq worker scripts.programs.benchmarks.peers.taskiq_worker:broker``; as a program, it sends
jobs from its input.

One quorum queue, each result published confirmed before the message is acknowledged.
"""

import asyncio
import json
import ssl
import sys
from itertools import islice
from typing import Any

import aio_pika
import aiohttp
from taskiq import SmartRetryMiddleware, TaskiqEvents
from taskiq_aio_pika import AioPikaBroker, Queue, QueueType

from scripts.programs.benchmarks.peers import refer2

broker = AioPikaBroker(
    refer2.AMQP_URL,
    qos=128,
    task_queues=[Queue(name="refer", type=QueueType.QUORUM)],
    delay_queue=Queue(name="refer.delay", type=QueueType.QUORUM),
)
# It has no limiter: a call that was refused is repeated later.
broker.add_middlewares(SmartRetryMiddleware(default_retry_label=True, default_retry_count=1000, default_delay=1))


async def open_session(state: Any) -> None:
    """One session for all tasks, of as many connections as others have threads."""
    tls = ssl.create_default_context(cafile=refer2.CA_FILE) if refer2.CA_FILE else True
    state.session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=refer2.THREADS, ssl=tls),
        timeout=aiohttp.ClientTimeout(total=refer2.TIMEOUT_SECONDS),
        raise_for_status=True,
    )


async def close_session(state: Any) -> None:
    """At the worker's end."""
    await state.session.close()


async def refer(job: dict[str, Any]) -> None:
    """One call, one result."""
    called_at = refer2.now()
    session = broker.state.session
    async with session.post(refer2.url(job), json=refer2.body(job), headers=refer2.headers(job)) as answer:
        document = await answer.json()
    message = aio_pika.Message(
        refer2.result(job, document, called_at),
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=job["job_id"],
    )
    results = await broker.write_channel.get_exchange(refer2.EXCHANGE, ensure=False)
    await results.publish(message, refer2.routing_key(job), mandatory=True)


broker.on_event(TaskiqEvents.WORKER_STARTUP)(open_session)
broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)(close_session)
task = broker.task(task_name="refer")(refer)


async def send() -> None:
    """The jobs of the input, a few hundred at a time."""
    await broker.startup()
    while lines := list(islice(sys.stdin, 200)):
        await asyncio.gather(*(task.kiq(json.loads(line)) for line in lines))
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(send())
