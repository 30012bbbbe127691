"""Libraries inside a wheel whose own SBOM doesn't tell them, or not their licences: read from the wheel by hand.

The wheels of psycopg-binary carry an SBOM of auditwheel. It lists what came from the build system's packages, without
licences, and not what was built from source. It differs from machine to machine; what is told here was read from the
wheel for x86_64.
"""

from typing import Any

_BY_WHEEL = {
    ("psycopg-binary", "3.3.9"): (
        ("postgresql", "18.6", "PostgreSQL", "libpq"),
        ("openssl", "3.5.9", "Apache-2.0", "libssl and libcrypto"),
        ("krb5", "1.22.2", "MIT", "libkrb5, libk5crypto, libkrb5support, libgssapi_krb5 and libcom_err"),
        ("openldap", "2.6", "OLDAP-2.8", "libldap and liblber"),
        (
            "cyrus-sasl",
            "2.1.26",
            "BSD-Attribution-HPND-disclaimer",
            "libsasl2: this product includes software developed by Computing Services at Carnegie Mellon University",
        ),
        ("keyutils", "1.5.8", "LGPL-2.1-or-later", "libkeyutils"),
        ("e2fsprogs", "1.42.9", "MIT", "libcom_err, which libsasl2 asks for"),
        ("glibc", "2.17", "LGPL-2.1-or-later", "libcrypt, which libsasl2 asks for"),
    )
}


def bundled(name: str, version: str) -> list[dict[str, Any]] | None:
    """CycloneDX components of a wheel that is known here; None for any other, whose own SBOM then counts.

    Raises:
      AssertionError: the wheel is known in another version: read what that one brings, and change the table.
    """
    known = {wheel for wheel, _ in _BY_WHEEL}
    assert name not in known or (name, version) in _BY_WHEEL, f"{name} {version}: read its libraries for {__name__}"
    parts = _BY_WHEEL.get((name, version))
    if parts is None:
        return None
    return [
        {
            "name": part,
            "version": of,
            "purl": f"pkg:generic/{part}@{of}",
            "description": what,
            "licenses": [{"expression": licence}],
        }
        for part, of, licence, what in parts
    ]
