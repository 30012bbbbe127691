"""Structured logs on stderr: one record a line, whatever it holds, without addresses and secrets.

Every record of every library passes here, on the thread that logs it. Writing a record never raises: one that can't be
shown is replaced by a line that says so, and a line that nobody reads any more is dropped. Writing may block while
whoever reads stderr is slow.
"""

import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from traceback import extract_tb
from types import TracebackType
from typing import Any, Literal, TextIO

import structlog

from worker.errors import ReferralError
from worker.text.masking import mask
from worker.text.visible import one_line, to_json

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Form = Literal["json", "console"]

LONGEST_TEXT = 4096
"""Characters of one value that are written."""

LONGEST_LINE = 65_536
"""Of a longer record only its place is written; many log collectors cut or drop longer lines."""

# Of what one value of a record may hold: levels of nesting, items of a level, and of an exception frames and causes.
_DEEPEST = 4
_MOST_ITEMS = 100
_MOST_FRAMES = 20
_MOST_CAUSES = 5

_SPEAKS_PLAINLY = (ReferralError, OSError, ImportError)
"""Errors whose text is written: ours and the system's. Another's text may quote its input, a customer included."""


def configure(level: Level, form: Form) -> None:
    """Send structlog's and the standard library's records to what ``sys.stderr`` is now; replaces an earlier setup.

    Exceptions that nobody catches become records too, in every thread.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # `_present` leaves only plain strings and numbers, so no renderer calls a foreign object's repr.
    renderer: list[structlog.typing.Processor] = (
        [structlog.processors.JSONRenderer(to_json)]
        if form == "json"
        else [structlog.dev.ConsoleRenderer(colors=False), _in_one_line]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # Loggers are made at import, before this configuration, and must follow it all the same.
        cache_logger_on_first_use=False,
    )
    handler = _Handler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _describe_exception,
                _present,
                *renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # At DEBUG Dramatiq logs every message that it moves, and urllib3 every connection: too much even for DEBUG.
    for noisy in ("dramatiq", "urllib3"):
        logging.getLogger(noisy).setLevel(max(logging.getLevelName(level), logging.INFO))
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def follow_stderr() -> None:
    """Write to what ``sys.stderr`` is now: a progress line replaces it, so that records begin on lines of their own."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            handler.setStream(sys.stderr)


class _Handler(logging.StreamHandler[Any]):
    """Writes a record, or a substitute for it, and never raises."""

    # The standard library's handler prints a record that it can't format, with its arguments, which may be personal;
    # and it lets a RecursionError through.

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 - whatever a record holds, the work goes on
            line = _substitute(record, f"can't be written: {type(error).__name__}")
        if len(line) > LONGEST_LINE:
            line = _substitute(record, f"is {len(line)} characters long")
        # A pipe without a reader, a full disk, a stream that is closed or never existed: nobody is left to be told.
        with suppress(OSError, ValueError, AttributeError):
            try:
                self.stream.write(line + self.terminator)
                self.stream.flush()
            except BrokenPipeError:
                _write_nowhere(self.stream)


def _write_nowhere(stream: TextIO) -> None:
    # What is left in the stream's buffer would be written once more at the process's end, and make its exit code 120.
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


def _substitute(record: logging.LogRecord, problem: str) -> str:
    """The line in place of a record that can't be written: where it was logged, and nothing that it held."""
    return to_json(
        {
            "event": "log_record_left_out",
            "problem": problem,
            "where": f"{record.pathname}:{record.lineno}",
            "logger": record.name,
            "level": record.levelname.lower(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
        }
    )


def _describe_exception(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    exc_info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if exc_info is True else exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if isinstance(error, BaseException):
        event["exception"] = describe(error)
    return event


def describe(error: BaseException) -> str:
    """An exception and its causes in one line: their kinds and places, and the texts of those that quote no input."""
    parts = []
    for cause in _causes(error):
        text = f": {cause}" if isinstance(cause, _SPEAKS_PLAINLY) else ""
        frames = extract_tb(cause.__traceback__)[-_MOST_FRAMES:]
        places = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))
        parts.append(f"{type(cause).__name__}{text}" + (f" ({places})" if places else ""))
    return ", from ".join(parts)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _present(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    # Masked before rendering: in a rendered line of JSON, an address may end within an escape, and masking would cut
    # it.
    return {_text(key): _plain(value, _DEEPEST) for key, value in event.items()}


def _plain(value: object, depth: int) -> Any:
    """The value as masked strings, numbers and collections of them, bounded in depth and number."""
    if value is None or isinstance(value, bool) or (isinstance(value, int | float) and abs(value) < 2**63):
        return value
    if isinstance(value, Mapping) and depth:
        return {_text(key): _plain(item, depth - 1) for key, item in list(value.items())[:_MOST_ITEMS]}
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [_plain(item, depth - 1) for item in list(value)[:_MOST_ITEMS]]
    return _text(value)


def _text(value: object) -> str:
    """The value as a masked text of bounded length; of an object whose repr raises, the class."""
    try:
        if isinstance(value, BaseException):
            value = describe(value)
        text = mask(value if isinstance(value, str) else repr(value))
    except Exception:  # noqa: BLE001 - a foreign object's own code
        return f"<{type(value).__name__}>"
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… ({len(text)} characters)"


def _in_one_line(_logger: Any, _method: str, line: Any) -> str:
    # A terminal would execute escape sequences in the line, and a newline would begin a forged record.
    return one_line(line)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, Exception):
        logging.getLogger(__name__).critical("unexpected_error", exc_info=(kind, error, trace))
    else:
        sys.__excepthook__(kind, error, trace)


def _uncaught_in_thread(uncaught: threading.ExceptHookArgs) -> None:
    if uncaught.exc_value is not None and issubclass(uncaught.exc_type, Exception):
        logging.getLogger(__name__).critical(
            "unexpected_error", exc_info=(uncaught.exc_type, uncaught.exc_value, uncaught.exc_traceback)
        )
