"""A command writes only to files of its own; others are refused before anything is read or called."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.commands import Desk

RUN = ("run", "export.csv", "--campaign", "spring", "--sandbox")
WRITERS = {
    "run --out": (*RUN, "--out"),
    "run --rejects": (*RUN, "--out", "results.csv", "--rejects"),
    "publish --rejects": ("publish", "export.csv", "--campaign", "spring", "--rejects"),
    "collect --out": ("collect", "--until-idle", "0.1", "--out"),
    "sandbox --log": ("sandbox", "--port", "0", "--log"),
}
"""Every option that names a file to write."""


def device(path: Path) -> None:
    """A device, which root could replace by a file."""
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))


def link(path: Path) -> None:
    """A link to a file of this user's."""
    path.with_name("precious").write_text("the only copy")
    path.symlink_to("precious")


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")


@pytest.mark.parametrize("plant", [pytest.param(device, marks=as_root), link])
@pytest.mark.parametrize("writer", WRITERS)
def test_devices_and_links_stay(desk: Desk, writer: str, plant: Callable[[Path], None]) -> None:
    """A device and a link are refused with the remedy and stay unchanged, whichever user runs the command."""
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    # A row that would be left out, and one that would be sent.
    desk.write_export(
        "export.csv", [{"shop": "acme", "customer_email": email, "channel": "sms"} for email in ("", "a@example.com")]
    )
    out = desk.folder / "out"
    plant(out)
    before = out.lstat()

    ended = desk.run(*WRITERS[writer], "out")

    assert ended.returncode == 2, ended.stdout
    (line,) = ended.stderr.splitlines()
    assert line.startswith("referrals: out: is ")
    assert line.endswith(
        "; customers' data is only written to files that belong to this user alone; choose another file"
    )
    after = out.lstat()
    assert (after.st_ino, after.st_mode, after.st_rdev) == (before.st_ino, before.st_mode, before.st_rdev)
    assert plant is device or (desk.folder / "precious").read_text() == "the only copy"
    assert not (desk.folder / "out.journal").exists()


def test_rejected_rows_replace_no_other_file(desk: Desk) -> None:
    """A mistyped `--rejects` costs no file, and no row is sent."""
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    desk.write_export("export.csv", [{"shop": "acme", "customer_email": "", "channel": "sms"}])
    shops = (desk.folder / "shops.toml").read_bytes()
    for writer in ("run --rejects", "publish --rejects"):
        ended = desk.run(*WRITERS[writer], "shops.toml")
        assert ended.returncode == 2
        assert ended.stderr == (
            "referrals: shops.toml: is not a file of rejected rows and would be replaced; choose another file with "
            "--rejects\n"
        )
    assert (desk.folder / "shops.toml").read_bytes() == shops
