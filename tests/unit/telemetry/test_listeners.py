"""Who has a port."""

import os
import socket

import pytest

from worker.telemetry.listeners import Listener, listener_on


@pytest.mark.parametrize(
    ("host", "reached"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("0.0.0.0", "127.0.0.1"), ("::", "::1")]
)
def test_this_process(host: str, reached: str) -> None:
    """A listener is found on whichever address; once it is closed, none is found."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        port = server.getsockname()[1]
        found = listener_on(port)
        assert found is not None
        assert (found.pid, found.parent) == (os.getpid(), os.getppid())
        assert str(found) == f"process {os.getpid()} ({found.name})"
        with socket.create_connection((reached, port)):
            assert listener_on(port) == found
    assert listener_on(port) is None


def test_a_name_of_any_kind() -> None:
    """A listener is shown by its process id and name."""
    assert str(Listener(7, 1, "a) (b")) == "process 7 (a) (b)"
