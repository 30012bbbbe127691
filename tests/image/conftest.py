"""The image that scripts/image has built, as its containers see it."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.services import Vhost
from tests.system.commands import Desk, Process

INSIDE = r"""
root=$1 home=$2 shops=$3 metrics=$4 uid=$5 gid=$6
shift 6
# As an engine does, before it closes the root.
mkdir -p "$root/etc/referrals"
mount --bind "$root" "$root" && mount -o remount,bind,ro "$root"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount --bind "$home" "$root/var/lib/referrals"
mount --bind "$shops" "$root/etc/referrals"
mount -o remount,bind,ro "$root/etc/referrals"
mount --bind "$metrics" "$root/run/referrals/metrics"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
exec chroot "$root" /usr/bin/setpriv --reuid="$uid" --regid="$gid" --clear-groups --inh-caps=-all \
    --bounding-set=-all --no-new-privs /usr/bin/env -C /var/lib/referrals "$@"
"""
"""What an engine does for a container with a read-only root, without a network of its own."""


@dataclass(frozen=True)
class Image:
    """An image and its base, each as a folder."""

    root: Path
    base: Path
    config: dict[str, Any]
    """As the OCI's image specification has it: `Env`, `Entrypoint`, `User`…"""

    def command(self, arguments: list[str], folders: list[Path], user: str) -> list[str]:
        """A command line that runs ``arguments`` in a container: process one, on a read-only root, without a right.

        Args:
          folders: what is mounted as the user's home, as the shops' folder (read-only) and as the metrics' one.
          user: two numbers, with a colon between.
        """
        enter = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        enter += ["sh", "-ec", INSIDE, "sh"]
        return [*enter, str(self.root), *map(str, folders), *user.split(":"), *self.config["Entrypoint"], *arguments]

    @property
    def env(self) -> dict[str, str]:
        """The variables that the image sets."""
        return dict(each.split("=", 1) for each in self.config["Env"])


@pytest.fixture(scope="session")
def image() -> Image:
    """The image that scripts/image built and mounted; it starts these tests."""
    folder = Path(os.environ["REFERRALS_TEST_IMAGE"])
    config = json.loads((folder / "image.json").read_text())["OCIv1"]["config"]
    return Image((folder / "referral-dispatch").resolve(), (folder / "python").resolve(), config)


@dataclass(frozen=True)
class Host:
    """A machine that runs containers of the image, for one user."""

    image: Image
    desk: Desk
    user: str

    @property
    def folders(self) -> list[Path]:
        """The home, the shops' folder and the metrics' folder of its containers."""
        return [self.desk.folder / name for name in ("home", "shops", "metrics")]

    def start(self, name: str, *arguments: str, **env: str) -> Process:
        """Start a container; volumes belong to its user by then, as Kubernetes has it by `fsGroup`."""
        uid, gid = map(int, self.user.split(":"))
        for folder in self.folders:
            for each in (folder, *folder.rglob("*")):
                os.chown(each, uid, gid)
        settings = {key: value for key, value in self.desk.env.items() if key.startswith("REFERRALS_")}
        command = self.image.command(list(arguments), self.folders, self.user)
        process = Process(command, self.desk.folder, self.image.env | settings | env, name)
        self.desk.processes.append(process)
        return process


@pytest.fixture(params=["10001:10001", "1000680000:0"], ids=["own", "openshift"])
def host(request: pytest.FixtureRequest, image: Image, tmp_path: Path, vhost: Vhost, redis_url: str) -> Iterator[Host]:
    """A host on a virtual host of its own, for the image's user and for a number as OpenShift picks it."""
    with closing(Desk.of(tmp_path, vhost.url)) as desk:
        desk.env |= {"REFERRALS_REDIS_URL": redis_url, "REFERRALS_SHOPS": "/etc/referrals/shops.toml"}
        made = Host(image, desk, request.param)
        for folder in made.folders:
            folder.mkdir()
        yield made
