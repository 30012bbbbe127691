"""What the comparisons with the stock broker share."""

from collections.abc import Iterator

import pytest

from tests.integration.rabbitmq.tap import Tap, tapping
from tests.services import Vhost


@pytest.fixture
def tap(vhost: Vhost) -> Iterator[Tap]:
    """The test's own connection to its virtual host."""
    with tapping(vhost) as made:
        yield made
