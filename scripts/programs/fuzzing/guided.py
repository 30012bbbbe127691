"""One target under atheris, in a process of its own: its name, a folder for what it finds, and libFuzzer's options.

A fault doesn't end the run. The shortest input of each kind, by the error and the line that raised it, is kept below
FINDINGS, with its traceback; an input that takes longer than a second of CPU is one too.
"""

import hashlib
import sys
import time
import traceback
from pathlib import Path

import atheris
import structlog

# What takes bytes apart; more of the libraries costs seconds at each start and leads nowhere.
with atheris.instrument_imports(include=["worker", "csv", "json", "tomllib", "email", "pika.data", "urllib.parse"]):
    from tests.fuzz.catalogue import TARGETS

SLOW_SECONDS = 1.0
"""Of CPU, which no input of these lengths takes on any machine unless it takes more than its length's worth."""


class SlowError(Exception):
    """An input took too long."""


def main() -> None:
    """Runs until libFuzzer's own options end it; never returns."""
    name, findings, *options = sys.argv[1:]
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    target, folder = TARGETS[name], Path(findings)
    folder.mkdir(parents=True, exist_ok=True)

    def one(data: bytes) -> None:
        began = time.process_time()
        try:
            target.run(data)
            if time.process_time() - began > SLOW_SECONDS:
                raise SlowError(f"{time.process_time() - began:.1f} s of CPU")
        except Exception as error:  # noqa: BLE001 - any exception is a finding
            _keep(folder, data, error)

    # To merge, libFuzzer starts its program by name once more.
    again = folder.parent / "again"
    again.write_text(f'#!/bin/sh\nexec {sys.executable} -m {__spec__.name} {name} {folder} "$@"\n')
    again.chmod(0o700)
    atheris.Setup([str(again), f"-max_len={target.longest}", *options], one)
    atheris.Fuzz()


def _keep(folder: Path, data: bytes, error: Exception) -> None:
    places = [place for place in traceback.extract_tb(error.__traceback__) if "site-packages" not in place.filename]
    kind = f"{type(error).__name__} {places[-1].filename}:{places[-1].lineno}"
    path = folder / hashlib.sha256(kind.encode()).hexdigest()[:12]
    if not path.exists() or len(data) < path.stat().st_size:
        path.write_bytes(data)
        path.with_suffix(".txt").write_text(f"{kind}\n\n{''.join(traceback.format_exception(error))}")


if __name__ == "__main__":
    main()
