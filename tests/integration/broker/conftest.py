"""What the tests over a real RabbitMQ share."""

from collections.abc import Iterator

import pytest

from tests.integration.broker.tap import Tap, tapping
from tests.services import Vhost
from worker.broker.connection import Parameters, parameters


@pytest.fixture
def tap(vhost: Vhost) -> Iterator[Tap]:
    """The test's own connection to its virtual host."""
    with tapping(vhost) as made:
        yield made


@pytest.fixture
def params(vhost: Vhost) -> Parameters:
    """Parameters of the connections that are tested; RabbitMQ lists them as ``tested``."""
    return parameters(vhost.url, name="tested")
