"""The base classes of the six kinds. Each is a frozen model: fields are options, one or two verbs do the work."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from inspect import get_annotations
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from ktoformats.feedback import GOOD, NUMBERS
from ktoformats.plugin.discovery import GROUPS as GROUPS
from ktoformats.plugin.faults import suggest
from ktoformats.plugin.scale import Reading, Scale

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pyarrow as pa

    from ktoformats.feedback import Fact
    from ktoformats.plugin.gather import Gather
    from ktoformats.plugin.layout import Layout
    from ktoformats.plugin.row import Columns, Row


class Example(NamedTuple):
    """What a plugin is shown with and tried on."""

    given: Any
    """A record of a format (the list of records, where some belong together), or a cell of a label plugin."""
    gives: Any
    """Samples as (prompt, response, label); of a cell `good`, `bad`, empty for the middle, None where unjudged."""
    options: Mapping[str, Any] = MappingProxyType({})
    """The options with which it is read so."""


Examples = Sequence[tuple[Any, Any] | tuple[Any, Any, Mapping[str, Any]]]
"""Each an `Example`, or a plain tuple of its parts."""


class Plugin(BaseModel):
    """What every plugin is: frozen, compared and pickled by value, its fields are its options."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    inherits: ClassVar[frozenset[str]] = frozenset()
    """Options that take the value of the data section's field of the same name unless they are given."""
    examples: ClassVar[Examples] = ()
    """What it reads and what that gives; shown to users, and tried by the conformance kit."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a class variable with a type: pydantic would make an option of it.

        Raises:
            TypeError: There is one; the message says how it is written.
        """
        super().__init_subclass__(**options)
        taken = {name for base in cls.__mro__[1:] for name in getattr(base, "__class_vars__", ())}
        for name, annotation in get_annotations(cls).items():
            if name in taken and "ClassVar" not in str(annotation):
                raise TypeError(
                    f"{cls.__name__}.{name} would become an option, because it is annotated; write `{name} = ...` "
                    f"without a type, or `{name}: ClassVar[...] = ...`"
                )


class Claim(NamedTuple):
    """How well a format fits a shape: the number of columns it knows, 0 for *not mine*, and why."""

    score: int
    reason: str
    columns: tuple[str, ...] = ()
    """The columns it counts on; where null columns leave several formats equal, the one with most values wins."""
    also: tuple[str, ...] = ()
    """Columns it reads where they are there: they make no claim stronger, and `inspect` does not call them unread."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What detection may look at: the keys of a record and the types behind them, never the values."""

    kinds: Mapping[str, str]
    """Column to `text`, `number`, `boolean`, `null`, `list` or `object`."""
    items: Mapping[str, frozenset[str]]
    """List column to the union of its items' keys; object column to its keys."""
    columns: Columns
    item_kinds: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """List column to the kinds of its items."""

    def __contains__(self, column: object) -> bool:
        return column in self.kinds

    def any_of(self, *columns: str) -> str | None:
        """The first of these columns that the shape has, or None."""
        return next((column for column in columns if column in self.kinds), None)

    def holds(self, column: str) -> bool:
        """Whether the shape has this column, and something in it."""
        return self.kinds.get(column, "null") != "null"

    def are_texts(self, *columns: str) -> bool:
        """Whether all of these columns hold a text."""
        return all(self.kinds.get(column) == "text" for column in columns)

    def kind_in(self, column: str) -> str | None:
        """The kind of all items of a list column; None where there are several, or no items."""
        kinds = self.item_kinds.get(column, frozenset())
        return next(iter(kinds)) if len(kinds) == 1 else None

    def claim(self, *needed: str, also: tuple[str, ...] = ()) -> Claim:
        """The claim of a format that needs these columns: their number, or 0 where one is missing.

        Args:
            needed: The columns; at least one, else nothing is claimed.
            also: Columns that are read where they are there.
        """
        missing = [column for column in needed if column not in self.kinds]
        if missing or not needed:
            return Claim(0, f"no column {', '.join(map(repr, missing)) or 'that it needs'}")
        return claim_of(*needed)._replace(also=also)


def claim_of(*columns: str, score: int = 0) -> Claim:
    """The claim of a format that has all the columns it needs; it scores their number unless told otherwise."""
    return Claim(score or len(columns), f"has {', '.join(columns)}", columns)


class Format(Plugin):
    """Says what a record states; what follows from it is the core's business."""

    reads: ClassVar[frozenset[str] | set[str]] = frozenset()
    """The columns a record must have: used for detection and documentation."""
    any_value: ClassVar[bool] = False
    """Whether it reads records that are no objects, such as lists, where it is the only format."""
    default_scales: ClassVar[tuple[str, ...]] = ("specification",)
    """Label plugins that its facts name, so that they are loaded before the first record; `specification` is what
    a `Judged` names that names none."""

    def claim(self, shape: Shape) -> Claim:
        """Say how well this format fits records of this shape.

        Args:
            shape: Keys and types, with the configured column names in `shape.columns`.

        Returns:
            The claim; the highest score wins, a tie is an error that asks the user to choose.
        """
        return shape.claim(*sorted(self.reads))

    def label_plugins(self) -> tuple[str, ...]:
        """The label plugins that this format's facts name; they are loaded before the first record."""
        return self.default_scales

    def gathers(self) -> Gather | None:
        """Which records belong together; None where each stands for itself.

        A format that gathers must be the only one of its source. Its rows hold lists of records, and the
        answers and errors it hands on say in `row` which of them they come from.
        """
        return None

    def conflict(self) -> str | None:
        """What to do where the same answer is judged good and bad (`report`, `drop`, `majority`, `last`).

        None leaves it to the configuration, which also wins where it says something itself.
        """
        return None

    @abstractmethod
    def facts(self, row: Row) -> Iterable[Fact]:
        """State the facts of one record.

        Args:
            row: The record, with typed access that rejects it with a clear error.

        Raises:
            RecordError: The record cannot be read.
        """

    def layout(self, shape: Shape) -> Layout | None:  # noqa: ARG002 - for those who override it
        """Say in which columns the facts of a record of this shape stand, if the shape alone tells.

        This is about speed only: such records are read a block at a time instead of one by one. What is said here
        must be what `facts` states of every such record. Those with an empty text, or with a verdict that is not
        plainly good or bad, are given to `facts` all the same, and so is everything where a subclass overrides
        `facts` and not this.

        Args:
            shape: Keys and types, as in `claim`.

        Returns:
            The layout, or None (as here) where the record must be looked at.
        """
        return None


class Labels(Plugin):
    """Reads raw verdict cells; a named scale with its thresholds."""

    scale: Scale

    def read(self, cell: Any) -> Reading | None:
        """Read one raw cell.

        Args:
            cell: A bool, number, text or None, as it stands in the file.

        Returns:
            The reading, or None where nobody judged.

        Raises:
            KTOLabelError: The cell is no value of the scale.
        """
        return self.scale.read(cell)

    def describe(self) -> str:
        """Say what cells it reads, for error messages and listings."""
        return self.scale.describe()


UNDEFINED: Final = np.nan
"""What a quality plugin returns for a response it cannot measure; the core puts 0.5 and a flag in its place."""


class Quality(Plugin):
    """Scores responses from 0 to 1, a whole batch at once."""

    @abstractmethod
    def score(self, batch: pa.RecordBatch) -> np.ndarray:
        """Score every row of a batch.

        Args:
            batch: Rows of `ktoformats.SCHEMA`; `response`, `prompt` and `system` are what a score may look at.

        Returns:
            float64, shape (rows,), each in [0, 1] or NaN where nothing can be measured. A row's score never
            depends on the other rows.
        """


class Utility(Plugin):
    """Turns quality and label into a utility."""

    def score(self, batch: pa.RecordBatch) -> np.ndarray:
        """Compute the utility of every row; override it to look at more than quality and label.

        Args:
            batch: Rows of `ktoformats.SCHEMA`, `response_quality` filled in.

        Returns:
            float64, shape (rows,), finite.
        """
        import pyarrow.compute as pc  # a tenth of a second, which listing plugins does not need

        good = np.asarray(pc.equal(batch.column("label"), GOOD))
        return self.utility(batch.column("response_quality").to_numpy(), good)

    @abstractmethod
    def utility(self, quality: np.ndarray, good: np.ndarray) -> np.ndarray:
        """Compute the utility of every sample.

        Args:
            quality: float64, shape (rows,), in [0, 1].
            good: bool, shape (rows,), True for desirable.

        Returns:
            float64, shape (rows,), finite.
        """


class Dropped(NamedTuple):
    """One reason's mask: True where the sample is dropped."""

    reason: str
    mask: np.ndarray


class Filter(Plugin):
    """Drops samples, each with a reason.

    A filter that names in `numbers` what it looks at is given that and nothing else, from a small file beside the
    samples: another bound over millions of them is applied in a moment.
    """

    numbers: ClassVar[frozenset[str] | None] = None
    """Names of `ktoformats.NUMBERS`, such as `response_quality` or `prompt_length`; None for the samples."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a number that does not exist.

        Raises:
            TypeError: There is one; the message says what it may have been meant to be.
        """
        super().__init_subclass__(**options)
        for name in sorted(cls.numbers or ()):
            if name not in NUMBERS.names:
                known = ", ".join(NUMBERS.names)
                raise TypeError(
                    f"{cls.__name__}.numbers names {name!r}{suggest(name, NUMBERS.names)}; there are {known}"
                )

    @abstractmethod
    def drops(self, batch: pa.RecordBatch) -> Iterable[Dropped]:
        """Say which rows to drop.

        Args:
            batch: Rows of `ktoformats.SCHEMA`, quality and utility filled in; or the columns that `numbers` names.

        Returns:
            Masks of bool, shape (rows,); a row counts under the first reason that drops it.
        """


class Written(NamedTuple):
    """What an exporter wrote, as its `settings` may tell the trainer."""

    name: str
    """The name of the file or folder."""
    told: Mapping[str, Any]
    """What `write` returned."""
    good: int
    """Rows with a good label."""
    bad: int
    """Rows with a bad label."""
    desirable_weight: float = 1.0
    """What the loss of a good row is multiplied with, see `loss_weights`; 1.0 where one label is missing."""
    undesirable_weight: float = 1.0
    """The same for a bad row."""
    batch_size: int | None = None
    """Rows a batch and process that the order was planned for; None: the order suits any."""
    world_size: int = 1
    """Processes that the order was planned for."""
    epochs: int = 1
    """Epochs that stand in the file, one after the other."""
    max_tokens: int | None = None
    """The most tokens that prompt and completion of a row have together, if somebody counted."""


class Exporter(Plugin):
    """Writes a dataset in the form that someone else reads."""

    training_order: ClassVar[bool] = False
    """True when the reader takes row order as batch order; False keeps source order. Where each row of such a file
    comes from is written beside it."""
    suffix: ClassVar[str] = ".jsonl"
    """The file name's ending, when the user names a folder; empty for a folder."""
    folder: ClassVar[bool] = False
    """True when it writes a folder of several files."""
    tokens: ClassVar[bool] = False
    """True when batches are to bring `prompt_ids`, `completion_ids` and `KL_completion_ids` (lists of int32), too."""
    settings_file: ClassVar[str] = ""
    """The file in the folder that the `settings` are written to."""

    @property
    def ending(self) -> str:
        """The file name's ending with these options: `suffix`, unless an option changes it, such as a compression."""
        return self.suffix

    def refuses(self, batch: pa.RecordBatch) -> Iterable[Dropped]:  # noqa: ARG002 - for those who override it
        """Say which samples the form cannot hold; here none.

        One of them stops the export, before anything is written. If the exporter has an option `unfit` and it is
        `drop`, they are left out and counted instead.

        Args:
            batch: Rows of `ktoformats.SCHEMA`.

        Returns:
            Masks of bool, shape (rows,); a row counts under the first reason that refuses it.
        """
        return ()

    def settled(self, batches: Iterable[pa.RecordBatch]) -> Self:  # noqa: ARG002 - for those who override it
        """This exporter, with all decided that depends on the samples as a whole; here nothing does.

        Where the samples go into several files, each of them is written by what this returns.

        Args:
            batches: As for `write`.
        """
        return self

    @abstractmethod
    def write(self, batches: Iterable[pa.RecordBatch], path: Path) -> Mapping[str, Any]:
        """Write all batches to one file, or into one folder.

        Args:
            batches: Rows of `ktoformats.SCHEMA`, in the order to write. May be iterated more than once.
            path: A new file in a private folder, or a new and empty folder if `folder` is set; it is published by
                rename when this returns.

        Returns:
            What a user should be told, such as `{"style": "conversational"}`.
        """

    def settings(self, written: Written) -> str:  # noqa: ARG002 - for those who override it
        """The lines to paste into the trainer's configuration; they are printed and stand in the manifest.

        Args:
            written: What was written, counted.
        """
        return ""


KINDS: Final[dict[str, type[Plugin]]] = {
    "format": Format,
    "labels": Labels,
    "quality": Quality,
    "utility": Utility,
    "filter": Filter,
    "exporter": Exporter,
}
"""Kind to base class."""
