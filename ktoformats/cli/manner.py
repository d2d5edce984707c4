"""How loud the commands are, and in which form they speak on standard error."""

from __future__ import annotations

import io
import json
import logging
import sys
from contextlib import ExitStack, contextmanager, redirect_stderr
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from ktoformats.cli.text import safe

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST: Final = 4000
_OURS: Final = "ktoformats"


class Manner(NamedTuple):
    """The options that stand before the command."""

    quiet: bool = False
    """Nothing but errors, and the JSON of --json."""
    verbose: bool = False
    """The library's log lines, too."""
    log_json: bool = False
    """Every line on standard error is one JSON object."""


_PLAIN: Final = Manner()
_MANNER: Final[ContextVar[Manner]] = ContextVar("manner")


def manner() -> Manner:
    """The one of the command that runs."""
    return _MANNER.get(_PLAIN)


@contextmanager
def speaking(how: Manner) -> Iterator[None]:
    """Have commands speak so; afterwards everything is as it was, for whoever calls `main` from Python."""
    with ExitStack() as stack:
        stack.callback(_MANNER.reset, _MANNER.set(how))
        if how.log_json and sys.stderr is not None:
            lines = JsonLines(sys.stderr)
            stack.callback(lines.finish)
            stack.enter_context(redirect_stderr(lines))
        stack.enter_context(_logging(how))
        yield


def say_aside(level: str, message: str, plain: str) -> bool:
    """Say something on standard error if that speaks JSON; False where it is for the caller to say it.

    Args:
        level: `error`, `warning` or `info`.
        message: What to say.
        plain: Stands before the message elsewhere.
    """
    if not isinstance(sys.stderr, JsonLines):
        return False
    sys.stderr.say(level, message.removeprefix(plain))
    return True


class JsonLines(io.TextIOBase):
    """Standard error in which each line is one JSON object, whoever writes it.

    Plugins print, and so do the libraries they use; a reader of logs must not stumble over that.

    Args:
        stream: Where the lines go.
    """

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self._begun = ""

    def say(self, level: str, message: str) -> None:
        """Write one line."""
        self.finish()
        self._write(level, message)

    def write(self, text: str, /) -> int:
        """Take text of others; what is a whole line of it is written."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in filter(str.strip, lines):
            self._write("info", line)
        return len(text)

    def finish(self) -> None:
        """Write the last line, though nobody ended it."""
        begun, self._begun = self._begun, ""
        if begun.strip():
            self._write("info", begun)

    def writable(self) -> bool:
        """It is there to be written."""
        return True

    def fileno(self) -> int:
        """What child processes inherit."""
        return self.stream.fileno()

    def _write(self, level: str, message: str) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "level": level, "message": safe(message.rstrip(), _LONGEST)}
        self.stream.write(json.dumps(line, ensure_ascii=not _is_utf8(self.stream)) + "\n")
        self.stream.flush()


def _is_utf8(stream: IO[str]) -> bool:
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"


_TOLD_ANYWAY: Final = ("prepare", "loader")
"""Modules that log the notes and warnings of a report, which commands tell with the rest of it."""


class _Handler(logging.Handler):
    """Log records as lines on standard error, whatever that is at the moment: a progress bar takes its place."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one."""
        if record.module in _TOLD_ANYWAY and record.levelno == logging.WARNING:
            return
        try:
            message = record.getMessage()
            if not say_aside(record.levelname.lower(), message, "") and sys.stderr is not None:
                sys.stderr.write(safe(message, _LONGEST) + "\n")
        except Exception:  # noqa: BLE001 - a log line never ends a command
            self.handleError(record)


@contextmanager
def _logging(how: Manner) -> Iterator[None]:
    """Errors of whatever library; when verbose, what ours has to say besides."""
    root, ours, python = logging.getLogger(), logging.getLogger(_OURS), logging.getLogger("py.warnings")
    before = {logger: logger.level for logger in (root, ours, python)}
    handler = _Handler()
    root.addHandler(handler)
    root.setLevel(logging.ERROR)
    if how.verbose:
        ours.setLevel(logging.INFO)
    captured = how.quiet or how.log_json
    if captured:
        logging.captureWarnings(True)
        python.setLevel(logging.ERROR if how.quiet else logging.WARNING)
    try:
        yield
    finally:
        if captured:
            logging.captureWarnings(False)
        root.removeHandler(handler)
        for logger, level in before.items():
            logger.setLevel(level)
