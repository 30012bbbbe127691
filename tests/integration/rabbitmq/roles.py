"""The roles that the documentation gives permissions to, and what RabbitMQ says to who goes beyond them."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pika.exceptions
import pytest

from tests.services import RabbitMQ, Vhost

DOCUMENT = Path(__file__).parents[3] / "docs" / "rabbitmq.md"

PASSWORD = "made up"


class Roles:
    """Makes users of a virtual host with the documented permissions."""

    def __init__(self, rabbitmq: RabbitMQ, vhost: Vhost) -> None:
        self._rabbitmq = rabbitmq
        self._vhost = vhost
        self._users: list[str] = []

    def __call__(self, role: str, **changed: str) -> Vhost:
        """A user with a role's permissions, or others; the virtual host as that user reaches it."""
        user = f"{role.replace(' ', '-')}-{uuid.uuid4().hex[:8]}"
        self._rabbitmq.api("PUT", f"/api/users/{user}", {"password": PASSWORD, "tags": ""})
        self._users.append(user)
        self._rabbitmq.api("PUT", f"/api/permissions/{self._vhost.name}/{user}", documented(role) | changed)
        url = self._vhost.url.replace("guest:guest", f"{user}:{PASSWORD.replace(' ', '%20')}")
        return replace(self._vhost, url=url)

    def remove(self) -> None:
        """Take the users away."""
        for user in self._users:
            self._rabbitmq.api("DELETE", f"/api/users/{user}")


def documented(role: str) -> dict[str, str]:
    """The role's permissions, as the table in the documentation has them."""
    (row,) = re.findall(rf"^\| {role} \|.*$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    cells = [cell.strip().strip("`").replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", row)]
    return dict(zip(("configure", "write", "read"), cells[3:6], strict=True))


@contextmanager
def refused() -> Iterator[None]:
    """RabbitMQ answers what is done within by 403."""
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        yield
    assert caught.value.reply_code == 403
