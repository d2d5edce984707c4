"""The loaders: configuration and plugins in, torch datasets out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ktoformats.config.models import BasePreferenceConfig, KTODataConfig, KTOSpecificConfig, split_choice
from ktoformats.convert.assemble import Assembly, assemble
from ktoformats.errors import ConfigError
from ktoformats.feedback import BAD, GOOD
from ktoformats.overrides import Overrides, SpecificationMethods
from ktoformats.page import bar as bars
from ktoformats.page.notebook import in_short, table
from ktoformats.plugin.registry import Registry
from ktoformats.read.named import find_sources
from ktoformats.read.rows import blocks_of_records
from ktoformats.store.cache import Cache, Kept, default_folder
from ktoformats.store.mix import Piece, pieces_of
from ktoformats.store.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from os import PathLike

    from torch.utils.data import DataLoader

    from ktoformats.store.build import Progress
    from ktoformats.store.report import Report
    from ktoformats.store.vault import Verify
    from ktoformats.store.view import View
    from ktoformats.train.dataset import KTODataset
    from ktoformats.train.encode import Style
    from ktoformats.train.plan import Partners, Plan
    from ktoformats.train.plan import Remainder as PlanRemainder
    from ktoformats.train.stream import KTOStream
    from ktoformats.train.training import Training, Weights
    from ktoformats.train.why import Story

_ASSEMBLIES = 16
_RECORDS = "<records>"


def _checked(verify: Verify) -> Verify:
    if verify not in ("always", "first", "never"):
        raise ConfigError(f"cache_verify must be always, first or never, got {verify!r}")
    return verify


class PreferenceDataLoader:
    """Loads preference feedback of any configured format as a torch dataset.

    Args:
        config: The data section.
        tokenizer: A Hugging Face tokenizer; datasets give text all the same, tokens are the training layer's.
        enable_cache: Keep what was built, and open it the next time.
        cache_dir: Where; None takes the user's cache folder.
        cache_compression: Compress cached samples (zstd).
        cache_verify: When cached files are compared with their digests: `always`, `never`, or `first`: at the first
            open and whenever a file was touched since.
        registry: The installed plugins; None asks the running interpreter's metadata.
        progress: Called after every block with (source, records, bytes read). None shows a bar for what takes longer
            than a second, on a terminal and in a notebook; False shows none.
    """

    def __init__(
        self,
        config: BasePreferenceConfig,
        tokenizer: Any | None = None,
        enable_cache: bool = True,  # noqa: FBT001, FBT002 - the specification's signature
        *,
        cache_dir: str | PathLike[str] | None = None,
        cache_compression: bool = False,
        cache_verify: Verify = "first",
        registry: Registry | None = None,
        progress: Progress | Literal[False] | None = None,
    ) -> None:
        if not isinstance(config, KTODataConfig):
            raise ConfigError(
                f"config must be a KTODataConfig (such as KTOConfig.from_yaml(path).data), got {config!r:.60}"
            )
        self.config: KTODataConfig = config
        self.tokenizer = tokenizer
        self.logger: logging.Logger = logging.getLogger("ktoformats")
        self.registry: Registry = registry or Registry()
        self._own_registry = registry is not None
        self.reports: dict[str, Report] = {}
        self.views: dict[str, View] = {}
        """What was chosen for each split; `views["train"].diff(other)` says what another choice did otherwise."""
        folder = Path(cache_dir) if cache_dir else default_folder()
        self._cache = Cache(folder, cache_compression, verify=_checked(cache_verify)) if enable_cache else None
        self._progress = progress
        self._assembled: dict[str, Assembly] = {}
        self._trainings: dict[tuple[str, str], tuple[View, Training]] = {}
        self._last = ""

    def __repr__(self) -> str:
        files = ", ".join(f"{split} {shown}" for split, shown in self._files().items()) or "no files"
        loaded = ", ".join(f"{split} {report.samples} samples" for split, report in self.reports.items())
        return f"{type(self).__name__}({files}; loaded: {loaded or 'nothing'})"

    def _repr_html_(self) -> str:
        """What it reads and what was loaded, for notebooks; nothing is read or imported to show it."""
        rows = []
        for split in dict.fromkeys([*self._files(), *self.reports]):
            kept = self.reports[split].kept if split in self.reports else {GOOD: "", BAD: ""}
            rows.append((split, self._files().get(split, ""), kept[GOOD], kept[BAD]))
        plugins = [
            (field, ", ".join(split_choice(choice)[0] for choice in choices))
            for field, choices in (
                ("formats", self.config.formats),
                ("quality", [self.config.quality]),
                ("utility", [self.config.utility]),
                ("filters", self.config.filters),
                ("observers", self.config.observers),
            )
        ]
        splits = table(type(self).__name__, ("split", "files", "good", "bad"), rows)
        return splits + table("plugins", ("", ""), plugins)

    def _files(self) -> dict[str, str]:
        """The files of each split in short, as they are named; sources count."""
        shown = {}
        for split in ("train", "validation", "test"):
            named = getattr(self.config, f"{split}_file")
            paths = named if isinstance(named, list) else [named] if named else []
            paths = [*paths, *(source.path for source in self.config.sources if source.split == split)]
            if paths:
                more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
                shown[split] = in_short(paths[0]) + more
        return shown

    @property
    def report(self) -> Report:
        """The accounting of the split that was loaded last; `reports` has all.

        Raises:
            AttributeError: Nothing was loaded yet.
        """
        if not self._last:
            raise AttributeError("no report yet: call load_dataset first")
        return self.reports[self._last]

    def load_dataset(self, split: str = "train") -> KTODataset:
        """Load one split.

        Args:
            split: `train`, `validation` or `test`; only `train` is balanced, and must hold both labels.

        Returns:
            A map-style dataset of samples with the specification's keys (`ktoformats.SAMPLE_KEYS`).

        Raises:
            ConfigError: The split has no file, or an option is wrong.
            PluginError: A configured plugin cannot be used.
            KTODataError: The files cannot be read or nothing usable is in them.
            KTOLabelError: `on_error: fail` met a verdict it cannot read.
        """
        view = self._load_view(split)
        dataset = self._make_dataset(view)
        self.logger.info("Loaded %d KTO samples for %s split", len(dataset), split)
        return dataset

    def view(self, split: str = "train") -> View:
        """What is chosen for a split, and what was left out: a dataset without torch.

        Args:
            split: As in `load_dataset`; it is loaded if it was not.

        Raises:
            As `load_dataset`.
        """
        return self.views[split] if split in self.views else self._load_view(split)

    def load_records(self, rows: Iterable[Mapping[str, Any]], split: str = "train") -> KTODataset:
        """Load records that are in memory, or come one by one.

        Args:
            rows: Objects of JSON values: a list or generator of dicts, or a `datasets.Dataset`. Read once. Dates and
                times are taken as ISO 8601 texts, numpy's scalars and arrays as what they hold; a row with anything
                else that JSON cannot hold (NaN, bytes, half a character) is rejected, and costs no other.
            split: As in `load_dataset`.

        Returns:
            The same dataset as of a file of these records; their source is `<records>`, their line their number.

        Raises:
            As `load_dataset`.
        """
        return self._make_dataset(self._load_view(split, rows))

    def stream(
        self,
        split: str = "train",
        *,
        shuffle: bool = True,
        seed: int | None = None,
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> KTOStream:
        """The samples of one split, converted as they are read.

        Args:
            split: As in `load_dataset`.
            shuffle: Shuffle the order of files, and windows of `buffer_size` samples.
            seed: Of the shuffle; None takes `random_seed`.
            num_replicas: The number of ranks; None asks torch.distributed, and is 1 where that is not initialised.
            rank: Which of them this is; None as above, 0.

        Returns:
            An iterable dataset of the same samples; `ktoformats.KTOStream` says what it cannot do.

        Raises:
            ConfigError: The split has no file, an option is wrong, or this loader cannot be rebuilt in a worker: it
                overrides methods, or has a registry of its own.
            PluginError: A configured plugin cannot be used.
            SourceError: A file is not there, or cannot be read.
        """
        from ktoformats.train.stream import KTOStream

        own = sorted(Overrides.of(self).names) or (["registry"] if self._own_registry else [])
        if own:
            raise ConfigError(
                f"a stream is converted in the workers of a DataLoader, which cannot have this loader's own "
                f"{', '.join(own)}; use load_dataset"
            )
        return KTOStream(self.config, split, shuffle=shuffle, seed=seed, num_replicas=num_replicas, rank=rank)

    def training(
        self,
        split: str = "train",
        *,
        style: Style = "auto",
        progress: Callable[[int, int], None] | Literal[False] | None = None,
    ) -> Training:
        """One split on its way to a trainer: its samples, their tokens where there is a tokenizer, and its plans.

        Args:
            split: As in `load_dataset`; it is loaded if it was not.
            style: `standard` tokenises the texts as they are, `conversational` renders messages with the
                tokenizer's chat template, `auto` takes the template where there is one.
            progress: Called with how many rows have their tokens, and of how many. None and False as of the loader.

        Returns:
            `training.fitted.report` counts what the token limits dropped and cut, per label.

        Raises:
            ConfigError: The tokenizer cannot place the samples, or a limit leaves no room.
            KtoFormatsError: As `load_dataset`.
        """
        from ktoformats.train.chosen import Chosen
        from ktoformats.train.encode import Encoder
        from ktoformats.train.fit import limits_of
        from ktoformats.train.tokens import Tokens
        from ktoformats.train.training import Training

        view = self.view(split)
        known = self._trainings.get((split, style))
        if known is not None and known[0] is view:
            return known[1]
        cache = Overrides.of(self).cache(self._cache)
        kept = Kept(cache) if cache else None
        tokens = None
        if self.tokenizer is not None:
            with bars.shown(progress, lambda: bars.counting("tokenizing", " rows")) as tell:
                tokens = Tokens(view.samples, Encoder(self.tokenizer, style), kept, tell)
        made = Training(Chosen(view), tokens, limits_of(self.config), kept)
        self._trainings[split, style] = view, made
        return made

    def plan(
        self,
        split: str = "train",
        batch_size: int = 8,
        world_size: int = 1,
        seed: int | None = None,
        epoch: int = 0,
        *,
        partners: Partners = "anywhere",
        good_share: float | None = None,
        group_by_length: bool = False,
        remainder: PlanRemainder = "pad",
        style: Style = "auto",
    ) -> Plan:
        """Plan an epoch: which sample stands in which batch, and whose answer is its KL partner.

        Args:
            split: As in `load_dataset`.
            batch_size: Samples of a batch on one rank.
            world_size: Ranks. The order of the epoch is the same for any number of them.
            seed: Another seed gives another plan; None takes `random_seed`.
            epoch: So does another epoch.
            partners: Where KL partners are taken from; `ktoformats.PlanTerms` describes this and what follows.
            good_share: The share of good samples in every batch; None takes that of the data.
            group_by_length: Whether samples of like length share a batch.
            remainder: What becomes of a short last batch.
            style: As in `training`.

        Returns:
            Positions in the dataset, and `plan.report`: what was achieved.

        Raises:
            As `training`.
        """
        from ktoformats.train.plan import PlanTerms

        terms = PlanTerms(
            batch_size,
            world_size,
            self.config.random_seed if seed is None else seed,
            epoch,
            partners=partners,
            good_share=good_share,
            group_by_length=group_by_length,
            remainder=remainder,
        )
        return self.training(split, style=style).plan(terms)

    def dataloader(
        self,
        split: str = "train",
        batch_size: int = 8,
        *,
        seed: int | None = None,
        num_replicas: int | None = None,
        rank: int | None = None,
        partners: Partners = "anywhere",
        good_share: float | None = None,
        group_by_length: bool = False,
        remainder: PlanRemainder = "pad",
        style: Style = "auto",
        weights: Weights = "sample",
        pad_to_multiple_of: int | None = None,
        padding_side: Literal["right", "left"] = "right",
        **options: Any,
    ) -> DataLoader[Any]:
        """A torch DataLoader of planned batches, ready for the KTO loss.

        Every pass over it is the next epoch. `dataloader.batch_sampler` has `set_epoch`, `state_dict` and
        `load_state_dict`, as `ktoformats.ElasticBatchSampler` describes them, and `plan(epoch)`.

        Args:
            split: As in `load_dataset`.
            batch_size: Samples of a batch on this rank.
            seed: As in `plan`.
            num_replicas: The number of ranks; None asks torch.distributed, and is 1 where that is not initialised.
            rank: Which of them this is; None as above, 0.
            partners: As in `plan`.
            good_share: As in `plan`.
            group_by_length: As in `plan`.
            remainder: As in `plan`.
            style: As in `training`.
            weights: `sample`: `weight` is the sample's own; `utility`: times the size of its utility, the mean over
                each label staying as it is.
            pad_to_multiple_of: Lengths are padded to a multiple of this.
            padding_side: `right`, as TRL pads, or `left`.
            options: Of `torch.utils.data.DataLoader`, such as `num_workers` and `pin_memory`.

        Returns:
            Batches as `ktoformats.KTOCollator` makes them.

        Raises:
            ConfigError: There is no tokenizer.
            KtoFormatsError: As `training`.
        """
        from ktoformats.train.plan import PlanTerms
        from ktoformats.train.planned import dataloader
        from ktoformats.train.state import Share

        share = Share.of(num_replicas, rank)
        terms = PlanTerms(
            batch_size,
            share.num_replicas,
            self.config.random_seed if seed is None else seed,
            partners=partners,
            good_share=good_share,
            group_by_length=group_by_length,
            remainder=remainder,
        )
        return dataloader(
            self.training(split, style=style),
            terms,
            share=share,
            max_length=self.config.max_tokens,
            weights=weights,
            pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side,
            **options,
        )

    def _load_view(self, split: str, records: Iterable[Any] | None = None) -> View:
        config = self.config
        overrides = Overrides.of(self)
        if overrides.names:
            self.logger.info("Overridden methods run in this process: %s", ", ".join(sorted(overrides.names)))
        rejects = config.rejects_file
        own = overrides.rows(split) if records is None else records
        rows = None if own is None else [(_RECORDS, blocks_of_records(own, _RECORDS))]
        if rows is not None:
            pieces = [Piece(None, config, overrides.apply(self._assembly(config)))]
        else:
            pieces = self._pieces(split)
        try:
            named = [piece.files for piece in pieces]
            with bars.shown(self._progress, lambda: bars.reading(named)) as progress:
                view, report = prepare(
                    split,
                    pieces,
                    config,
                    self.registry,
                    cache=overrides.cache(self._cache),
                    rejects_path=Path(str(rejects).replace("{split}", split)) if rejects else None,
                    progress=progress,
                    stages=overrides.stages(),
                    rows=rows,
                    for_training=split == "train",
                )
        except Exception as error:
            partial = getattr(error, "report", None)
            if partial is not None:
                self.reports[split], self._last = partial, split
            raise
        self.reports[split], self._last = report, split
        self.views[split] = view
        if report.rejects:
            self.logger.warning("rejected records: loader.reports[%r].rejects has lines and reasons", split)
        return view

    def why(self, what: str, split: str = "train") -> list[Story]:
        """Tell the whole story of a record: how it was read, what decided its label, what became of its samples.

        Args:
            what: `FILE:LINE`, or the id of one of its samples; an id may stand for several records of one content.
            split: The split whose choice is told; it is loaded if it was not.

        Returns:
            For each record what became of it; `story.told()` has it in sentences.

        Raises:
            ConfigError: There is no such record or sample.
            KtoFormatsError: As `load_dataset`.
        """
        from ktoformats.train.why import why

        view = self.view(split)
        pieces = self._pieces(split)
        files = [(one, piece.assembly) for piece in pieces for one in find_sources(piece.files)]
        return why(what, view, files, self.reports[split].rejects)

    def _pieces(self, split: str) -> list[Piece]:
        overrides = Overrides.of(self)
        return pieces_of(split, self.config, lambda own: overrides.apply(self._assembly(own)))

    def _make_dataset(self, view: View) -> KTODataset:
        from ktoformats.train.dataset import KTODataset

        return KTODataset(view, split=self._last, kept=self.report.kept)

    def _assembly(self, config: KTODataConfig | None = None) -> Assembly:
        """The pipeline that a configuration (this loader's by default) comes to; the last ones are remembered."""
        config = config or self.config
        stamp = repr(config)  # not JSON: the name of a file need not be UTF-8
        if stamp not in self._assembled:
            if len(self._assembled) >= _ASSEMBLIES:
                self._assembled.clear()
            made = self._assembled[stamp] = assemble(config, self.registry)
            # a worker could only ask its own interpreter's metadata for plugins
            made.pipeline.in_process = self._own_registry
        return self._assembled[stamp]


class KTODataLoader(SpecificationMethods, PreferenceDataLoader):
    """Data loader for Kahneman-Tversky Optimization (KTO).

    The methods of the specification (`validate_sample`, `_normalize_kto_label`, `_calculate_kto_utility`, ...)
    are its override points: a subclass that overrides one decides, for every record. See `ktoformats.overrides`.
    """

    @property
    def kto_specific_config(self) -> KTOSpecificConfig:
        """The parameters of prospect theory."""
        return self.config.kto_specific

    def _make_dataset(self, view: View) -> KTODataset:
        overrides = Overrides.of(self)
        if overrides.has("_create_dataset"):
            from ktoformats.train.dataset import KTODataset

            made: KTODataset = self._create_dataset(list(KTODataset(view)))
            return made
        return super()._make_dataset(view)
