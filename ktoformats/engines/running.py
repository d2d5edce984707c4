"""A Ray to work on: one that runs already, or one of our own."""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ktoformats.errors import KTODataError

if TYPE_CHECKING:
    from collections.abc import Iterator

_ANSWER_S: Final = 10.0
_LONGEST_FOLDER: Final = 30
"""Ray makes sockets some 60 characters below its folder; the system allows a path of 107."""


def library() -> Any:
    """The `ray` module.

    Raises:
        ImportError: Ray is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError(f"this needs Ray ({error}): pip install 'ktoformats[ray]'") from error
    return ray


@contextmanager
def running(address: str | None = None, cpus: int | None = None) -> Iterator[None]:
    """Have Ray run, without a word from it.

    One that is connected already, or that the address or `RAY_ADDRESS` names, is used and left running. Otherwise
    one is started on this machine, and ended with all that it wrote.

    Args:
        address: As `ray.init` takes it; None looks at `RAY_ADDRESS`.
        cpus: How many processors one of our own has; None takes all.

    Raises:
        KTODataError: There is no Ray at the address, or none can be started.
    """
    ray = library()
    with ExitStack() as stack:
        _silence(ray, stack)
        address = address or os.environ.get("RAY_ADDRESS")
        if not ray.is_initialized():
            options: dict[str, Any] = {"address": address or "local", "log_to_driver": False}
            if not address:
                folder = stack.enter_context(
                    tempfile.TemporaryDirectory(prefix="ray-", dir=_short_folder(), ignore_cleanup_errors=True)
                )
                options |= {"num_cpus": cpus, "include_dashboard": False, "_temp_dir": folder}
            stack.callback(ray.shutdown)
            try:
                _knock(address)
                with _path_told():
                    ray.init(logging_level=logging.ERROR, **options)
            except (ConnectionError, ValueError, RuntimeError, OSError) as error:
                where = f"at {address}" if address else "on this machine"
                raise KTODataError(f"no Ray {where} ({str(error).strip().splitlines()[0]})") from error
        yield


def _silence(ray: Any, stack: ExitStack) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    stack.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore")  # Ray warns of its own settings
    log = logging.getLogger("ray.data")
    stack.callback(log.setLevel, log.level)
    log.setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = context.print_on_execution_start = False
    stack.enter_context(ray.data.DataContext.current(context))


@contextmanager
def _path_told() -> Iterator[None]:
    """Let the processes of a Ray of our own find the modules that this one finds."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        yield
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before


def _knock(address: str | None) -> None:
    """See whether somebody answers: Ray itself would try for minutes."""
    host, colon, port = (address or "").rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()


def _short_folder() -> str | None:
    """Where Ray's sockets can be made."""
    return "/tmp" if len(tempfile.gettempdir()) > _LONGEST_FOLDER and Path("/tmp").is_dir() else None  # noqa: S108 - the folder made there is private
