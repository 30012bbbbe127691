"""TLS for all connections: certificate and host name are verified, and no version below 1.2 is accepted."""

import ssl
from pathlib import Path

FLOOR = ssl.TLSVersion.TLSv1_2


def context(authorities: str | Path | None = None, folder: str | None = None) -> ssl.SSLContext:
    """A client's configuration that trusts the authorities in a PEM file, those in a folder, or the system's.

    Raises:
      OSError: the file or the folder can't be read, or holds no certificates.
    """
    return raised(ssl.create_default_context(cafile=authorities, capath=folder))


def raised(made: ssl.SSLContext) -> ssl.SSLContext:
    """The same configuration without versions below the floor.

    Python may take its defaults from OpenSSL's configuration, as Debian's Python does, and that or ``OPENSSL_CONF`` may
    allow lower versions.
    """
    made.minimum_version = max(made.minimum_version, FLOOR)
    return made
