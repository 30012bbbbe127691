"""The sandbox: an emulator of Refer2 that runs here, for trying things out, for tests and for benchmarks.

It is a stand-in, not a model of the vendor's data: any id or address is a customer unless it is listed as a
stranger, nothing is e-mailed, and all that it knows is gone when it stops. Its memory grows by about 0.7 KB with each
distinct referral. What it received is told in full, addresses included, by ``GET /_sandbox/calls`` and its log, so
it belongs on a loopback address.
"""

from worker.sandbox.api import create_app
from worker.sandbox.calls import Call
from worker.sandbox.config import (
    SANDBOX_KEY_ID,
    SANDBOX_SECRET,
    VENDOR_LIMITS,
    VENDOR_READ_LIMITS,
    SandboxConfig,
    make_limits,
)
from worker.sandbox.misbehaviour import HELP, Behaviour
from worker.sandbox.server import RunningSandbox, serve

__all__ = [
    "HELP",
    "SANDBOX_KEY_ID",
    "SANDBOX_SECRET",
    "VENDOR_LIMITS",
    "VENDOR_READ_LIMITS",
    "Behaviour",
    "Call",
    "RunningSandbox",
    "SandboxConfig",
    "create_app",
    "make_limits",
    "serve",
]
