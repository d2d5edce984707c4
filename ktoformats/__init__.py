"""ktoformats: any preference feedback in, KTO-ready training data out, through plugins.

Public names are imported on first use, so that `import ktoformats` is quick and torch is loaded only by what
needs tensors.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "ktoformats.errors": (
        "AmbiguousFormatError",
        "ConfigError",
        "EmptyDatasetError",
        "KTODataError",
        "KTOLabelError",
        "KtoFormatsError",
        "OneClassError",
        "PluginConflictError",
        "PluginContractError",
        "PluginError",
        "PluginLoadError",
        "PluginNotFoundError",
        "RecordError",
        "RejectBudgetError",
        "SourceError",
    ),
    "ktoformats.feedback": (
        "REASONS",
        "SAMPLE_KEYS",
        "SCHEMA",
        "Context",
        "Judged",
        "Message",
        "Pair",
        "Ranked",
        "Rated",
        "Response",
        "Fact",
        "Unjudged",
    ),
    "ktoformats.plugin.kinds": (
        "Claim",
        "Dropped",
        "Exporter",
        "Filter",
        "Format",
        "Labels",
        "Plugin",
        "Quality",
        "Shape",
        "Utility",
    ),
    "ktoformats.plugin.lexicon": ("label_key", "normalize_label", "read_grade", "read_score"),
    "ktoformats.plugin.registry": ("Registry",),
    "ktoformats.plugin.row": ("Columns", "Row", "items_of", "null_field", "wrong_type"),
    "ktoformats.plugin.scale": ("Reading", "Scale", "scale_of"),
    "ktoformats.plugin.spec": ("hookimpl",),
    "ktoformats.plugin.turns": ("answer_of", "as_json", "context_of", "read_messages"),
    "ktoformats.config.models": ("KTOConfig", "KTODataConfig", "KTOSpecificConfig"),
    "ktoformats.loader": ("KTODataLoader", "PreferenceDataLoader"),
    "ktoformats.store.report": ("Report", "loss_weights"),
    "ktoformats.train.rows": ("needs_messages", "to_samples", "to_trl_rows"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]  # noqa: PLE0604 - names are listed once, by their home


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'ktoformats' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    # mypy and editors follow these; `tests/test_public_names.py` keeps both lists equal.
    pass
