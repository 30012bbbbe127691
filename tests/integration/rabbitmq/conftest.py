"""What the tests over a real RabbitMQ share."""

from collections.abc import Iterator

import pytest

from tests.integration.rabbitmq.roles import Roles
from tests.integration.rabbitmq.tap import Tap, tapping
from tests.services import RabbitMQ, Vhost
from worker.rabbitmq.connection import Parameters, parameters


@pytest.fixture
def tap(vhost: Vhost) -> Iterator[Tap]:
    """The test's own connection to its virtual host."""
    with tapping(vhost) as made:
        yield made


@pytest.fixture
def params(vhost: Vhost) -> Parameters:
    """Parameters of the connections that are tested; RabbitMQ lists them as ``tested``."""
    return parameters(vhost.url, name="tested")


@pytest.fixture
def as_role(rabbitmq: RabbitMQ, vhost: Vhost) -> Iterator[Roles]:
    """Makes users with the documented permissions of a role."""
    roles = Roles(rabbitmq, vhost)
    yield roles
    roles.remove()
