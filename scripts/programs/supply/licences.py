"""The licence of each part, as an SPDX expression, and which of them the image may hold."""

from functools import cache
from importlib.metadata import Distribution

from license_expression import LicenseWithExceptionSymbol, Licensing, get_spdx_licensing

ALLOWED = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSD-Attribution-HPND-disclaimer",  # Cyrus SASL inside psycopg-binary: asks that it be named, as the notices do
        "ISC",
        "LGPL-2.1-or-later",  # shared libraries inside psycopg-binary, unchanged, which another file may replace
        "LGPL-3.0-only",  # psycopg: imported unchanged from a distribution of its own, as Dramatiq is
        "LGPL-3.0-or-later",  # Dramatiq: used unchanged, and a user of the image may install another over it
        "MIT",
        "MPL-2.0",  # certifi: its files are shipped unchanged
        "OLDAP-2.8",
        "PSF-2.0",
        "PostgreSQL",
        "Unicode-3.0",
        "Unicode-DFS-2016",
        "Unlicense",
        "Zlib",
    }
)
"""Licences that ask for no more than a notice, or for no more than we do. Any other wants a person's judgement."""

_OLDER_NAMES = {
    "Apache 2.0": "Apache-2.0",
    "ISC License": "ISC",
    "License :: OSI Approved :: GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "License :: OSI Approved :: MIT License": "MIT",
}
"""What metadata says that is older than SPDX expressions, where the name leaves no doubt."""

_READ = {
    "Jinja2": "BSD-3-Clause",
    "protobuf": "BSD-3-Clause",
}
"""Of parts whose metadata leaves it open: the licence in the text that they ship, read by a person."""


class LicenceError(Exception):
    """A part whose licence is unknown, or may not be shipped."""


def licence_of(installed: Distribution) -> str:
    """The SPDX expression of a distribution.

    Raises:
      LicenceError: its metadata names no licence as SPDX.
    """
    fields = ("License-Expression", "License", "Classifier")
    names: list[str] = [name for field in fields for name in installed.metadata.get_all(field) or ()]
    names = [name for name in names if name.startswith("License ::") or "::" not in name]
    for name in names:
        expression = _OLDER_NAMES.get(name, name)
        if not _licensing().validate(expression).errors:
            return expression
    if installed.name in _READ:
        return _READ[installed.name]
    raise LicenceError(
        f"{installed.name}: its metadata names no licence as SPDX ({', '.join(names)[:200]!r}); "
        "read it, then name it in scripts/programs/supply/licences.py"
    )


def check(name: str, expression: str) -> None:
    """See that a part may be shipped: of ``OR`` one licence is enough.

    Raises:
      LicenceError: it may not, or the expression can't be read.
    """
    problems = _licensing().validate(expression).errors
    if problems:
        raise LicenceError(f"{name}: {expression!r} is no SPDX expression: {problems[0]}")
    if not _satisfied(_licensing().parse(expression)):
        raise LicenceError(
            f"{name}: its licence {expression} is not among those that the image may hold; leave it out, or read the "
            "licence and add it in scripts/programs/supply/licences.py"
        )


def _satisfied(parsed: object) -> bool:
    licensing = _licensing()
    if isinstance(parsed, licensing.OR):
        return any(map(_satisfied, parsed.args))
    if isinstance(parsed, licensing.AND):
        return all(map(_satisfied, parsed.args))
    if isinstance(parsed, LicenseWithExceptionSymbol):
        return f"{parsed.license_symbol.key} WITH {parsed.exception_symbol.key}" in ALLOWED
    return str(parsed) in ALLOWED


@cache
def _licensing() -> Licensing:
    return get_spdx_licensing()
