"""Which process listens on a port of this machine, as far as Linux lets this user see."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# The state LISTEN in /proc/net/tcp.
_LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class Listener:
    """A process: its id, its parent's and its name."""

    pid: int
    parent: int
    name: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.name})"


def listener_on(port: int) -> Listener | None:
    """The process that accepts TCP connections on the port, on whichever address; None where that can't be seen.

    Reads several files of each process on the machine, so call it once for an error message, never in a loop.
    """
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    for process in Path("/proc").glob("[0-9]*") if sockets else ():
        # Other users' processes can't be read, and any process may end meanwhile.
        with suppress(OSError):
            if any(_target(file) in sockets for file in (process / "fd").iterdir()):
                head, _, rest = (process / "stat").read_text().rpartition(")")
                return Listener(int(process.name), int(rest.split()[1]), head.partition("(")[2])
    return None


def _inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                cells = line.split()
                if cells[3] == _LISTENING and int(cells[1].rpartition(":")[2], 16) == port:
                    yield cells[9]


def _target(file: Path) -> str:
    try:
        return str(file.readlink())
    except OSError:
        return ""
