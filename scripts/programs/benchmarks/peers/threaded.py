"""The call by requests, for contestants with threads: a session per thread."""

import os
import threading
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from scripts.programs.benchmarks.peers import refer2

_of_thread = threading.local()


def call(job: dict[str, Any], retries: Retry | int = 0) -> dict[str, Any]:
    """The decoded answer; raises where it isn't a success."""
    answer = _session(retries).post(
        refer2.url(job),
        json=refer2.body(job),
        headers=refer2.headers(job),
        timeout=refer2.TIMEOUT_SECONDS,
        verify=refer2.CA_FILE or True,  # a session's own gives way to the environment's
    )
    answer.raise_for_status()
    document: dict[str, Any] = answer.json()
    return document


def _session(retries: Retry | int) -> requests.Session:
    session: requests.Session | None = getattr(_of_thread, "session", None)
    if session is None:
        session = _of_thread.session = requests.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retries))
        # Tuned: no look for proxies and for .netrc in the environment at every call, a quarter of its CPU.
        session.trust_env = "BENCH_UNTUNED" in os.environ
    return session
