"""What the tests of the commands share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import Vhost
from tests.system.commands import Desk


@pytest.fixture
def desk(tmp_path: Path, vhost: Vhost) -> Iterator[Desk]:
    """A user's folder on a virtual host of its own; the commands that still run are ended after the test."""
    made = Desk.of(tmp_path, vhost.url)
    yield made
    made.close()
