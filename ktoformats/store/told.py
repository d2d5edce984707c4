"""An error as plain values, to be raised again in another process: ours carry facts, and do not pickle."""

from __future__ import annotations

from typing import Any

from ktoformats import errors
from ktoformats.errors import ConfigError, KTODataError, KtoFormatsError, PluginError, SourceError


def tell_error(error: Exception, place: str = "") -> dict[str, str]:
    """What is to be told of an error.

    Args:
        error: Ours, the system's, or whatever a plugin let escape.
        place: File and lines that were at work, where the message does not begin with its file.
    """
    told = {"kind": type(error).__name__, "message": str(error)}
    if isinstance(error, PluginError):
        told |= {"plugin_kind": error.kind, "plugin": error.plugin}
    if isinstance(error, SourceError):
        return told | {"code": error.code, "path": error.path}
    if isinstance(error, OSError) and not isinstance(error, KtoFormatsError):  # a full disk, a folder that went away
        where = error.filename or place or "a worker's disk"
        return tell_error(SourceError("not_writable", str(where), f"the system says: {error.strerror or error}"))
    if not isinstance(error, KtoFormatsError):
        told = {"kind": "PluginContractError", "message": f"a plugin failed ({type(error).__name__}: {error})"}
    if place and not told["message"].startswith(place.partition(":")[0]):
        told["message"] = f"{place}: {told['message']}"
    return told


def told_error(told: dict[str, Any]) -> KtoFormatsError:
    """The error that was told; one of a kind that is not raised for a whole build is a `KTODataError`."""
    kind = getattr(errors, told["kind"], KTODataError)
    if kind is SourceError:
        return SourceError(told["code"], told["path"], told["message"].removeprefix(f"{told['path']}: "))
    known = issubclass(kind, KTODataError | PluginError | ConfigError)
    error: KtoFormatsError = kind(told["message"]) if known else KTODataError(told["message"])
    if isinstance(error, PluginError):
        error.kind, error.plugin = told.get("plugin_kind", ""), told.get("plugin", "")
    return error
