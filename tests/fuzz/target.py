"""What a target is, where its corpus lies, and how inputs are taken apart."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"

SEPARATOR = b"\n--\n"
"""Between the parts of an input, where a boundary has several: text, so that a fuzzer finds it easily."""


@dataclass(frozen=True)
class Target:
    """A boundary. ``run`` raises nothing but what its promises don't hold; ``words`` are bits of its language."""

    name: str
    run: Callable[[bytes], None]
    words: tuple[bytes, ...] = ()
    longest: int = 4096
    """Bytes of the inputs that are made for it."""

    @property
    def folder(self) -> Path:
        """Where its corpus lies: one input a file."""
        return CORPUS / self.name

    def corpus(self) -> list[bytes]:
        """The inputs that are kept, in the order of their names."""
        return [path.read_bytes() for path in sorted(self.folder.iterdir())]


def parts(data: bytes, count: int) -> list[bytes]:
    """An input taken apart into so many parts, the last ones empty where there are fewer."""
    found = data.split(SEPARATOR, count - 1)
    return found + [b""] * (count - len(found))


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder, in memory where the machine has a place for it."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="referrals-fuzz-", dir=memory if memory.is_dir() else None))
    try:
        yield made
    finally:
        shutil.rmtree(made)
