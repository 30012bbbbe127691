"""The same work on stock Dramatiq, for ``dramatiq scripts.programs.benchmarks.stock``: what one would write without us.

A queue per shop, the default middleware, a session per thread, a cached token, and each result published confirmed
and mandatory before the message is acknowledged. It imports nothing of the worker, which would count as its memory.
"""

import json
import os
import threading
import time
from datetime import UTC, datetime
from typing import Any

import dramatiq
import jwt
import pika
import requests
from dramatiq.brokers.rabbitmq import RabbitmqBroker

API_URL = os.environ["BENCH_API_URL"]
KEY_ID = os.environ["BENCH_KEY_ID"]
SECRET = os.environ["BENCH_SECRET"]

broker = RabbitmqBroker(url=os.environ["BENCH_AMQP_URL"], confirm_delivery=True)
dramatiq.set_broker(broker)

_of_thread = threading.local()
_tokens: dict[str, str] = {}


def refer(job: dict[str, Any]) -> None:
    """One call, one result."""
    shop = job["shop"]
    called_at = datetime.now(UTC)
    began = time.monotonic()
    answer = _session().post(
        f"{API_URL}/api/v2023061/{shop}/Refer2",
        json={"customer": job["customer"], "channel": job["channel"]},
        headers={"Authorization": f"Bearer {_token(shop)}"},
        timeout=12,
    )
    document = answer.json()
    result = job | {
        "outcome": "sent",
        "code": None,
        "status": answer.status_code,
        "message": document.get("message"),
        "referral": document["referral"],
        "share_action": document.get("share_action"),
        "attempts": 1,
        "called_at": called_at.isoformat(),
        "finished_at": datetime.now(UTC).isoformat(),
        "latency_seconds": time.monotonic() - began,
    }
    broker.channel.basic_publish(
        "referrals.results",
        f"{shop}.sent.ok.share",
        json.dumps(result).encode(),
        pika.BasicProperties(content_type="application/json", delivery_mode=2, message_id=job["job_id"]),
        mandatory=True,
    )


def _session() -> requests.Session:
    if not hasattr(_of_thread, "session"):
        _of_thread.session = requests.Session()
    session: requests.Session = _of_thread.session
    return session


def _token(shop: str) -> str:
    token = _tokens.get(shop)
    if token is None:
        claims = {"aud": "BH", "sub": shop, "exp": int(time.time()) + 3600}
        token = _tokens[shop] = jwt.encode(claims, SECRET, algorithm="HS256", headers={"kid": KEY_ID})
    return token


for _shop in os.environ["BENCH_SHOPS"].split(","):
    dramatiq.actor(actor_name=f"refer-{_shop}", queue_name=_shop)(refer)
