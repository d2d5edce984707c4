"""Every error ktoformats raises, in one tree.

KtoFormatsError
├── ConfigError (ValueError)               a config file, an option or a value of one
├── PluginError
│   ├── PluginNotFoundError (LookupError)  no installed plugin has that kind and name
│   ├── PluginLoadError (ImportError)      it is installed and cannot be used
│   ├── PluginConflictError (ValueError)   two distributions claim one kind and name
│   └── PluginContractError (TypeError)    it ran, and broke the promise of its kind
├── RecordError (ValueError)               one record cannot become samples; it is rejected and counted
│   └── KTOLabelError                      ... because its verdict cannot be read
└── KTODataError                           a whole build stops and publishes nothing
    ├── SourceError (OSError)              a file is missing, cut, of a wrong kind or changed underneath
    ├── AmbiguousFormatError               two formats claim a record's shape equally
    ├── RejectBudgetError                  too many records were rejected
    ├── OneClassError                      only one label class is left
    └── EmptyDatasetError                  nothing is left
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ktoformats.store.report import Report


class KtoFormatsError(Exception):
    """The base of every error ktoformats raises."""


class ConfigError(KtoFormatsError, ValueError):
    """A configuration is wrong; the message names the key, what was seen and what to write.

    Args:
        message: All faults in one line; empty joins `faults`.
        faults: One sentence for each fault, starting with its key.
    """

    def __init__(self, message: str = "", *, faults: tuple[str, ...] = ()) -> None:
        super().__init__(message or "; ".join(faults))
        self.faults = faults


class PluginError(KtoFormatsError):
    """Something about a plugin; `kind` and `plugin` (its name) say which."""

    def __init__(self, message: str, *, kind: str = "", plugin: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.plugin = plugin


class PluginNotFoundError(PluginError, LookupError):
    """No installed plugin has this kind and name."""


class PluginLoadError(PluginError, ImportError):
    """A plugin is installed but cannot be used; the cause is chained."""


class PluginConflictError(PluginError, ValueError):
    """Two distributions register one name in one kind."""


class PluginContractError(PluginError, TypeError):
    """A plugin returned something its kind does not allow."""


class RecordError(KtoFormatsError, ValueError):
    """One record (or one candidate in it) cannot become a sample.

    Args:
        reason: A reason code, such as `missing_field` (see `ktoformats.feedback.REASONS`).
        message: What was seen, what was expected, what to do.
        field: The field or path the trouble is in; empty for the whole record.
        seen: The value that could not be read, in short; empty where the message says all.

    Attributes:
        row: Among records that were gathered: the one that is damaged; None for all of them.
    """

    row: int | None = None

    def __init__(self, reason: str, message: str, *, field: str = "", seen: str = "") -> None:
        super().__init__(message)
        self.seen = seen
        self.reason = reason
        self.message = message
        self.field = field


class KTOLabelError(RecordError):
    """A verdict cannot be read: unknown word, value off its scale, contradiction.

    Also raised by a loader under `on_error: fail` when the first rejected record is one of these; `report`
    then holds the accounting up to there.
    """

    report: Report | None = None


class KTODataError(KtoFormatsError):
    """A dataset cannot be built; nothing was published.

    `report` holds the accounting up to there, where there is one (`ktoformats.store.report.Report`).
    """

    report: Report | None = None


class SourceError(KTODataError, OSError):
    """A source cannot be read as a whole.

    Args:
        code: A stable code, such as `truncated_file` or `not_found`.
        path: The file, as the user named it.
        message: What was seen, what was expected, what to do.
    """

    def __init__(self, code: str, path: str, message: str) -> None:
        KTODataError.__init__(self, f"{path}: {message}")
        self.code = code
        self.path = path


class AmbiguousFormatError(KTODataError):
    """Two formats claim a record's shape equally well; the config has to choose."""


class RejectBudgetError(KTODataError):
    """More records of a file were rejected than the budget allows."""


class OneClassError(KTODataError):
    """Every sample left has the same label; KTO needs both."""


class EmptyDatasetError(KTODataError):
    """No sample is left."""
