"""The shops that this process serves. They follow the shops file while the process runs."""

import threading
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import structlog

from worker.errors import ConfigurationError
from worker.network.plaintext import exposed_host
from worker.shops.config import ShopConfig
from worker.shops.file import read_shops
from worker.text.bounds import read_file

log = structlog.get_logger(__name__)

_Stamp = tuple[int, int, int, int, int] | None


@dataclass(frozen=True, slots=True)
class _Snapshot:
    shops: Mapping[str, ShopConfig]
    version: int


class _Watch:
    """Reads files and remembers the state of each just before, so that a change during the read is noticed too."""

    def __init__(self) -> None:
        self._seen: dict[Path, _Stamp] = {}

    def read(self, path: Path, most: int) -> bytes:
        self._seen[path] = _stamp(path)
        return read_file(path, most)

    def changed(self) -> bool:
        return any(_stamp(path) != stamp for path, stamp in self._seen.items())


class ShopRegistry:
    """The shops by slug, with their credentials; who signs nothing uses :func:`worker.shops.file.listed_shops` instead.

    May be read from any thread. Readers never wait: they see one whole version or the next.
    """

    def __init__(
        self, shops: Mapping[str, ShopConfig], path: Path | None, watch: _Watch, plaintext_hosts: Container[str] = ()
    ) -> None:
        """Use :meth:`load` or :meth:`of` instead."""
        self._snapshot = _Snapshot(MappingProxyType(dict(shops)), version=1)
        self._path = path
        self._watch = watch
        self._problem: str | None = None
        self._plaintext_hosts = plaintext_hosts
        self._warn_of_plaintext(())
        self._refreshing = threading.Lock()

    @classmethod
    def load(cls, path: Path, *, plaintext_hosts: Container[str] = ()) -> "ShopRegistry":
        """The shops of a file, which :meth:`refresh` reads again; ``plaintext_hosts`` as for :func:`read_shops`.

        Raises:
          ConfigurationError: one line that names the file, the table and the key at fault, and the remedy.
        """
        watch = _Watch()
        shops = read_shops(path, watch.read, plaintext_hosts=plaintext_hosts)
        return cls(shops, path, watch, plaintext_hosts)

    @classmethod
    def of(cls, *shops: ShopConfig) -> "ShopRegistry":
        """Shops without a file. They never change."""
        return cls({shop.slug: shop for shop in shops}, None, _Watch())

    def get(self, slug: str) -> ShopConfig | None:
        """The shop with that slug; None if the file has none."""
        return self._snapshot.shops.get(slug)

    def slugs(self) -> tuple[str, ...]:
        """The slugs of all shops, in the file's order."""
        return tuple(self._snapshot.shops)

    @property
    def version(self) -> int:
        """1 at first, and one more with each change of any shop."""
        return self._snapshot.version

    @property
    def problem(self) -> str | None:
        """Why the current files can't be used; None while the registry follows them."""
        return self._problem

    def refresh(self) -> bool:
        """Read the files again if one of them changed; returns whether a shop is different now.

        If the new version can't be used, the last good one stays in force, :attr:`problem` is set and one warning is
        logged. Costs one ``stat`` per file (5 µs), so it may be called every second. May block on the disk; callers of
        several threads wait for each other.
        """
        with self._refreshing:
            if self._path is None or not self._watch.changed():
                return False
            watch = _Watch()
            try:
                shops = read_shops(self._path, watch.read, plaintext_hosts=self._plaintext_hosts)
            except ConfigurationError as error:
                self._refuse(str(error))
                return False
            finally:
                # Also after a failure: the file at fault may not have been watched before.
                self._watch = watch
            repaired, self._problem = self._problem is not None, None
            changed = self._adopt(shops)
            if repaired:
                # The shops may be the same as before, so nothing else would say that the file is right again.
                log.info("shops_file_readable", version=self.version)
            return changed

    def _refuse(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("shops_file_refused", problem=problem, kept_version=self.version)
        self._problem = problem

    def _adopt(self, shops: dict[str, ShopConfig]) -> bool:
        old = self._snapshot
        if shops == old.shops and list(shops) == list(old.shops):
            return False
        self._snapshot = _Snapshot(MappingProxyType(shops), old.version + 1)
        log.info("shops_changed", version=old.version + 1, shops=len(shops))
        self._warn_of_plaintext(_exposed_hosts(old.shops))
        return True

    def _warn_of_plaintext(self, known: Container[str]) -> None:
        for host in _exposed_hosts(self._snapshot.shops):
            if host not in known:
                log.warning("plaintext_allowed", setting="base_url", host=host)


def _exposed_hosts(shops: Mapping[str, ShopConfig]) -> list[str]:
    hosts = [exposed_host(shop.base_url) for shop in shops.values()]
    return sorted({host for host in hosts if host is not None})


def _stamp(path: Path) -> _Stamp:
    # `stat` follows symbolic links, so the inode shows when a link to a directory above the file is swapped, which is
    # how Kubernetes updates a mounted Secret. The change time shows a rewrite that keeps size and modification time,
    # and an inode number that is used again.
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
