"""ktoformats: any preference feedback in, KTO-ready training data out, through plugins.

Public names are imported on first use, so that `import ktoformats` is quick and torch is loaded only by what
needs tensors.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "ktoformats.blocks.candidates": (
        "Candidate",
        "CandidateReader",
        "Candidates",
        "Each",
        "EachTurn",
        "Form",
        "Group",
    ),
    "ktoformats.blocks.cells": ("number_in",),
    "ktoformats.blocks.chat": ("Chat", "Marks"),
    "ktoformats.blocks.context": ("ContextReader", "Prompt"),
    "ktoformats.blocks.path": ("MISSING", "Scope", "read_path", "replaced"),
    "ktoformats.blocks.policies": ("VerdictPolicy", "lost", "refuse_damage", "settle"),
    "ktoformats.blocks.rows": ("JoinRows", "in_rows", "pooled", "reader"),
    "ktoformats.blocks.signature": ("Signature",),
    "ktoformats.blocks.spec": ("PathText",),
    "ktoformats.blocks.tree": ("Tree", "TreeReader", "matches"),
    "ktoformats.blocks.verdict": ("Fixed", "Label", "Rank", "Rating", "Verdict", "Winner"),
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
        "NUMBERS",
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
    "ktoformats.plugin.gather": ("Gather", "Join"),
    "ktoformats.plugin.kinds": (
        "Claim",
        "Dropped",
        "Example",
        "Examples",
        "Exporter",
        "Filter",
        "Format",
        "Labels",
        "Plugin",
        "Quality",
        "Shape",
        "UNDEFINED",
        "Utility",
        "Written",
        "claim_of",
    ),
    "ktoformats.plugin.layout": ("DialogueLayout", "JudgedLayout", "Layout", "PairLayout", "RankedLayout"),
    "ktoformats.plugin.lexicon": ("index_words", "label_key", "normalize_label", "read_grade", "read_score"),
    "ktoformats.plugin.registry": ("Registry",),
    "ktoformats.plugin.row": ("Columns", "Row", "items_of", "null_field", "or_error", "wrong_type"),
    "ktoformats.plugin.scale": ("Reading", "Scale", "scale_of"),
    "ktoformats.plugin.spec": ("hookimpl",),
    "ktoformats.plugin.turns": ("Dialogue", "answer_at", "answer_of", "as_json", "context_of", "read_messages"),
    "ktoformats.engines.ray": ("to_ray_dataset",),
    "ktoformats.config.models": ("KTOConfig", "KTODataConfig", "KTOSpecificConfig"),
    "ktoformats.loader": ("KTODataLoader", "PreferenceDataLoader"),
    "ktoformats.store.report": ("Report", "loss_weights"),
    "ktoformats.report.audit": ("Audit", "audit", "audit_loader"),
    "ktoformats.train.collate": ("KTOCollator",),
    "ktoformats.train.fit": ("FitReport", "Fitted", "Limits"),
    "ktoformats.train.plan": ("Plan", "PlanReport", "PlanTerms", "Traits"),
    "ktoformats.train.planned": ("KTOTokenDataset", "PlanSampler"),
    "ktoformats.train.sampler": ("ElasticBatchSampler",),
    "ktoformats.train.stream": ("KTOStream",),
    "ktoformats.train.training": ("Training",),
    "ktoformats.train.rows": ("needs_messages", "to_samples", "to_trl_rows"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]  # noqa: PLE0604 - names are listed once, by their home


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    # type checkers and editors follow these, and know no others; a test keeps both lists equal
    from ktoformats.blocks.candidates import (
        Candidate as Candidate,
    )
    from ktoformats.blocks.candidates import (
        CandidateReader as CandidateReader,
    )
    from ktoformats.blocks.candidates import (
        Candidates as Candidates,
    )
    from ktoformats.blocks.candidates import (
        Each as Each,
    )
    from ktoformats.blocks.candidates import (
        EachTurn as EachTurn,
    )
    from ktoformats.blocks.candidates import (
        Form as Form,
    )
    from ktoformats.blocks.candidates import (
        Group as Group,
    )
    from ktoformats.blocks.cells import (
        number_in as number_in,
    )
    from ktoformats.blocks.chat import (
        Chat as Chat,
    )
    from ktoformats.blocks.chat import (
        Marks as Marks,
    )
    from ktoformats.blocks.context import (
        ContextReader as ContextReader,
    )
    from ktoformats.blocks.context import (
        Prompt as Prompt,
    )
    from ktoformats.blocks.path import (
        MISSING as MISSING,
    )
    from ktoformats.blocks.path import (
        Scope as Scope,
    )
    from ktoformats.blocks.path import (
        read_path as read_path,
    )
    from ktoformats.blocks.path import (
        replaced as replaced,
    )
    from ktoformats.blocks.policies import (
        VerdictPolicy as VerdictPolicy,
    )
    from ktoformats.blocks.policies import (
        lost as lost,
    )
    from ktoformats.blocks.policies import (
        refuse_damage as refuse_damage,
    )
    from ktoformats.blocks.policies import (
        settle as settle,
    )
    from ktoformats.blocks.rows import (
        JoinRows as JoinRows,
    )
    from ktoformats.blocks.rows import (
        in_rows as in_rows,
    )
    from ktoformats.blocks.rows import (
        pooled as pooled,
    )
    from ktoformats.blocks.rows import (
        reader as reader,
    )
    from ktoformats.blocks.signature import (
        Signature as Signature,
    )
    from ktoformats.blocks.spec import (
        PathText as PathText,
    )
    from ktoformats.blocks.tree import (
        Tree as Tree,
    )
    from ktoformats.blocks.tree import (
        TreeReader as TreeReader,
    )
    from ktoformats.blocks.tree import (
        matches as matches,
    )
    from ktoformats.blocks.verdict import (
        Fixed as Fixed,
    )
    from ktoformats.blocks.verdict import (
        Label as Label,
    )
    from ktoformats.blocks.verdict import (
        Rank as Rank,
    )
    from ktoformats.blocks.verdict import (
        Rating as Rating,
    )
    from ktoformats.blocks.verdict import (
        Verdict as Verdict,
    )
    from ktoformats.blocks.verdict import (
        Winner as Winner,
    )
    from ktoformats.config.models import (
        KTOConfig as KTOConfig,
    )
    from ktoformats.config.models import (
        KTODataConfig as KTODataConfig,
    )
    from ktoformats.config.models import (
        KTOSpecificConfig as KTOSpecificConfig,
    )
    from ktoformats.engines.ray import (
        to_ray_dataset as to_ray_dataset,
    )
    from ktoformats.errors import (
        AmbiguousFormatError as AmbiguousFormatError,
    )
    from ktoformats.errors import (
        ConfigError as ConfigError,
    )
    from ktoformats.errors import (
        EmptyDatasetError as EmptyDatasetError,
    )
    from ktoformats.errors import (
        KTODataError as KTODataError,
    )
    from ktoformats.errors import (
        KtoFormatsError as KtoFormatsError,
    )
    from ktoformats.errors import (
        KTOLabelError as KTOLabelError,
    )
    from ktoformats.errors import (
        OneClassError as OneClassError,
    )
    from ktoformats.errors import (
        PluginConflictError as PluginConflictError,
    )
    from ktoformats.errors import (
        PluginContractError as PluginContractError,
    )
    from ktoformats.errors import (
        PluginError as PluginError,
    )
    from ktoformats.errors import (
        PluginLoadError as PluginLoadError,
    )
    from ktoformats.errors import (
        PluginNotFoundError as PluginNotFoundError,
    )
    from ktoformats.errors import (
        RecordError as RecordError,
    )
    from ktoformats.errors import (
        RejectBudgetError as RejectBudgetError,
    )
    from ktoformats.errors import (
        SourceError as SourceError,
    )
    from ktoformats.feedback import (
        NUMBERS as NUMBERS,
    )
    from ktoformats.feedback import (
        REASONS as REASONS,
    )
    from ktoformats.feedback import (
        SAMPLE_KEYS as SAMPLE_KEYS,
    )
    from ktoformats.feedback import (
        SCHEMA as SCHEMA,
    )
    from ktoformats.feedback import (
        Context as Context,
    )
    from ktoformats.feedback import (
        Fact as Fact,
    )
    from ktoformats.feedback import (
        Judged as Judged,
    )
    from ktoformats.feedback import (
        Message as Message,
    )
    from ktoformats.feedback import (
        Pair as Pair,
    )
    from ktoformats.feedback import (
        Ranked as Ranked,
    )
    from ktoformats.feedback import (
        Rated as Rated,
    )
    from ktoformats.feedback import (
        Response as Response,
    )
    from ktoformats.feedback import (
        Unjudged as Unjudged,
    )
    from ktoformats.loader import (
        KTODataLoader as KTODataLoader,
    )
    from ktoformats.loader import (
        PreferenceDataLoader as PreferenceDataLoader,
    )
    from ktoformats.plugin.gather import (
        Gather as Gather,
    )
    from ktoformats.plugin.gather import (
        Join as Join,
    )
    from ktoformats.plugin.kinds import (
        UNDEFINED as UNDEFINED,
    )
    from ktoformats.plugin.kinds import (
        Claim as Claim,
    )
    from ktoformats.plugin.kinds import (
        Dropped as Dropped,
    )
    from ktoformats.plugin.kinds import (
        Example as Example,
    )
    from ktoformats.plugin.kinds import (
        Examples as Examples,
    )
    from ktoformats.plugin.kinds import (
        Exporter as Exporter,
    )
    from ktoformats.plugin.kinds import (
        Filter as Filter,
    )
    from ktoformats.plugin.kinds import (
        Format as Format,
    )
    from ktoformats.plugin.kinds import (
        Labels as Labels,
    )
    from ktoformats.plugin.kinds import (
        Plugin as Plugin,
    )
    from ktoformats.plugin.kinds import (
        Quality as Quality,
    )
    from ktoformats.plugin.kinds import (
        Shape as Shape,
    )
    from ktoformats.plugin.kinds import (
        Utility as Utility,
    )
    from ktoformats.plugin.kinds import (
        Written as Written,
    )
    from ktoformats.plugin.kinds import (
        claim_of as claim_of,
    )
    from ktoformats.plugin.layout import (
        DialogueLayout as DialogueLayout,
    )
    from ktoformats.plugin.layout import (
        JudgedLayout as JudgedLayout,
    )
    from ktoformats.plugin.layout import (
        Layout as Layout,
    )
    from ktoformats.plugin.layout import (
        PairLayout as PairLayout,
    )
    from ktoformats.plugin.layout import (
        RankedLayout as RankedLayout,
    )
    from ktoformats.plugin.lexicon import (
        index_words as index_words,
    )
    from ktoformats.plugin.lexicon import (
        label_key as label_key,
    )
    from ktoformats.plugin.lexicon import (
        normalize_label as normalize_label,
    )
    from ktoformats.plugin.lexicon import (
        read_grade as read_grade,
    )
    from ktoformats.plugin.lexicon import (
        read_score as read_score,
    )
    from ktoformats.plugin.registry import (
        Registry as Registry,
    )
    from ktoformats.plugin.row import (
        Columns as Columns,
    )
    from ktoformats.plugin.row import (
        Row as Row,
    )
    from ktoformats.plugin.row import (
        items_of as items_of,
    )
    from ktoformats.plugin.row import (
        null_field as null_field,
    )
    from ktoformats.plugin.row import (
        or_error as or_error,
    )
    from ktoformats.plugin.row import (
        wrong_type as wrong_type,
    )
    from ktoformats.plugin.scale import (
        Reading as Reading,
    )
    from ktoformats.plugin.scale import (
        Scale as Scale,
    )
    from ktoformats.plugin.scale import (
        scale_of as scale_of,
    )
    from ktoformats.plugin.spec import (
        hookimpl as hookimpl,
    )
    from ktoformats.plugin.turns import (
        Dialogue as Dialogue,
    )
    from ktoformats.plugin.turns import (
        answer_at as answer_at,
    )
    from ktoformats.plugin.turns import (
        answer_of as answer_of,
    )
    from ktoformats.plugin.turns import (
        as_json as as_json,
    )
    from ktoformats.plugin.turns import (
        context_of as context_of,
    )
    from ktoformats.plugin.turns import (
        read_messages as read_messages,
    )
    from ktoformats.report.audit import (
        Audit as Audit,
    )
    from ktoformats.report.audit import (
        audit as audit,
    )
    from ktoformats.report.audit import (
        audit_loader as audit_loader,
    )
    from ktoformats.store.report import (
        Report as Report,
    )
    from ktoformats.store.report import (
        loss_weights as loss_weights,
    )
    from ktoformats.train.collate import (
        KTOCollator as KTOCollator,
    )
    from ktoformats.train.fit import (
        FitReport as FitReport,
    )
    from ktoformats.train.fit import (
        Fitted as Fitted,
    )
    from ktoformats.train.fit import (
        Limits as Limits,
    )
    from ktoformats.train.plan import (
        Plan as Plan,
    )
    from ktoformats.train.plan import (
        PlanReport as PlanReport,
    )
    from ktoformats.train.plan import (
        PlanTerms as PlanTerms,
    )
    from ktoformats.train.plan import (
        Traits as Traits,
    )
    from ktoformats.train.planned import (
        KTOTokenDataset as KTOTokenDataset,
    )
    from ktoformats.train.planned import (
        PlanSampler as PlanSampler,
    )
    from ktoformats.train.rows import (
        needs_messages as needs_messages,
    )
    from ktoformats.train.rows import (
        to_samples as to_samples,
    )
    from ktoformats.train.rows import (
        to_trl_rows as to_trl_rows,
    )
    from ktoformats.train.sampler import (
        ElasticBatchSampler as ElasticBatchSampler,
    )
    from ktoformats.train.stream import (
        KTOStream as KTOStream,
    )
    from ktoformats.train.training import (
        Training as Training,
    )

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module 'ktoformats' has no attribute {name!r}")
        return getattr(import_module(home), name)
