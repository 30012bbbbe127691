"""What the tests of rules and dashboards share."""

from collections.abc import Iterator

import pytest

from tests.monitoring.observatory import Observatory, open_observatory


@pytest.fixture(scope="session")
def observatory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observatory]:
    """An installation of its own under a real Prometheus; faults that a test provokes stay unless it repairs them."""
    with open_observatory(tmp_path_factory.mktemp("observatory")) as made:
        yield made
