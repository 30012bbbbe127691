"""The shops that this process serves, kept in step with the shops file while it runs."""

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
    """Reads files and remembers what each looked like just before, so that a change during the read shows too."""

    def __init__(self) -> None:
        self._seen: dict[Path, _Stamp] = {}

    def read(self, path: Path, most: int) -> bytes:
        self._seen[path] = _stamp(path)
        return read_file(path, most)

    def changed(self) -> bool:
        return any(_stamp(path) != stamp for path, stamp in self._seen.items())


class ShopRegistry:
    """The shops by slug, with their credentials: for who signs; for others there is :func:`listed_shops`. Readers never
    wait: they see one whole version or the next.
    """

    def __init__(
        self, shops: Mapping[str, ShopConfig], path: Path | None, watch: _Watch, plaintext_hosts: Container[str] = ()
    ) -> None:
        """Not for callers: see :meth:`load` and :meth:`of`."""
        self._snapshot = _Snapshot(MappingProxyType(dict(shops)), version=1)
        self._path = path
        self._watch = watch
        self._problem: str | None = None
        self._plaintext_hosts = plaintext_hosts
        self._warn_of_plaintext(())
        self._refreshing = threading.Lock()

    @classmethod
    def load(cls, path: Path, *, plaintext_hosts: Container[str] = ()) -> "ShopRegistry":
        """The shops of a file, also of its later versions; ``plaintext_hosts`` as :func:`read_shops` takes them.

        Raises:
          ConfigurationError: one line that names the file, the table and the key at fault, and the remedy.
        """
        watch = _Watch()
        shops = read_shops(path, watch.read, plaintext_hosts=plaintext_hosts)
        return cls(shops, path, watch, plaintext_hosts)

    @classmethod
    def of(cls, *shops: ShopConfig) -> "ShopRegistry":
        """Shops without a file; they never change."""
        return cls({shop.slug: shop for shop in shops}, None, _Watch())

    def get(self, slug: str) -> ShopConfig | None:
        """The shop of that slug, None where the file has none."""
        return self._snapshot.shops.get(slug)

    def slugs(self) -> tuple[str, ...]:
        """Every shop's slug, in the file's order."""
        return tuple(self._snapshot.shops)

    @property
    def version(self) -> int:
        """1 at first, one more with each change of any shop."""
        return self._snapshot.version

    @property
    def problem(self) -> str | None:
        """Why the files as they are now can't be used; None while the registry follows them."""
        return self._problem

    def refresh(self) -> bool:
        """Look at the files and read them again if one changed; True when a shop is now different.

        A version that can't be used leaves the last good one in force, sets :attr:`problem` and logs one warning.
        Costs one ``stat`` per file (5 µs), so once a second is fine; may block on the disk.
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
                # Also after a failure: the file that was at fault is among those watched now.
                self._watch = watch
            mended, self._problem = self._problem is not None, None
            changed = self._adopt(shops)
            if mended:
                # Also where nothing else tells of it: the shops may be what they were before.
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
    # `stat` follows symbolic links, so it tells the swap of a directory link above the file (how Kubernetes
    # updates a mounted Secret) by the inode. The change time catches a rewrite that keeps size and modification
    # time, and an inode number that is used again.
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
