"""Options of a command that writes for a trainer: batches, ranks, epochs, a tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ktoformats.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ktoformats.config.models import KTODataConfig
    from ktoformats.plugin.kinds import Exporter
    from ktoformats.store.cache import Kept
    from ktoformats.store.view import View
    from ktoformats.train.export import Planned
    from ktoformats.train.writing import Progress


def planning_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options."""
    for option in reversed(
        [
            click.option(
                "--batch-size",
                type=click.IntRange(min=2),
                metavar="N",
                help="Plan batches of N rows a process: both labels in each, KL partners of other prompts.",
            ),
            click.option(
                "--world-size",
                type=click.IntRange(min=1),
                metavar="N",
                help="Processes that will train; the rows are a multiple of batch size times processes.",
            ),
            click.option(
                "--epochs",
                type=click.IntRange(min=1),
                metavar="N",
                help="Write N epochs one after the other, each in an order of its own (and train one).",
            ),
            click.option(
                "--tokenizer",
                "tokenizer_name",
                metavar="MODEL",
                help="A folder or hub name; rows beyond --set max_tokens=N are left out, and counted.",
            ),
        ]
    ):
        command = option(command)
    return command


class Planning(NamedTuple):
    """What was asked for."""

    batch_size: int | None = None
    world_size: int | None = None
    epochs: int | None = None
    tokenizer_name: str | None = None

    def tokenizer(self, exporter: Exporter, name: str, config: KTODataConfig) -> Any:
        """The tokenizer, if one was named; what does not fit together is refused first.

        Raises:
            ConfigError: An option needs another one.
        """
        asked = [option for option, value in zip(_NAMES, self, strict=True) if value is not None]
        if asked and not exporter.training_order:
            raise ConfigError(
                f"{asked[0]}: exporter {name!r} keeps the order of the sources; there is nothing to plan"
            )
        for option, value in (("--world-size", self.world_size), ("--epochs", self.epochs)):
            if value is not None and self.batch_size is None:
                raise ConfigError(f"{option} plans batches; say --batch-size, too")
        if self.tokenizer_name is None:
            if exporter.tokens:
                raise ConfigError(f"exporter {name!r} writes tokens; name a tokenizer with --tokenizer")
            if exporter.training_order and (
                limits := [
                    one
                    for one in ("max_tokens", "max_prompt_tokens", "max_completion_tokens")
                    if getattr(config, one)
                ]
            ):
                raise ConfigError(f"{limits[0]} counts tokens; name a tokenizer with --tokenizer")
            return None
        from ktoformats.train.pretrained import load_tokenizer

        return load_tokenizer(self.tokenizer_name)

    def line_up(
        self,
        view: View,
        exporter: Exporter,
        name: str,
        config: KTODataConfig,
        tokenizer: Any,
        kept: Kept | None,
        *,
        epochs: bool,
        progress: Progress | None = None,
    ) -> Planned | None:
        """The planned rows; None where nothing was asked for.

        Args:
            view: The chosen samples.
            exporter: Says the form.
            name: Its plugin name.
            config: The data section.
            tokenizer: Or None.
            kept: Where tokens and plans are kept.
            epochs: Whether several are written; not for a split that is only evaluated.
            progress: Called with how many rows have their tokens, and of how many.
        """
        if self.batch_size is None and tokenizer is None:
            return None
        from ktoformats.train.fit import limits_of
        from ktoformats.train.lineup import Wanted, line_up

        wanted = Wanted(
            self.batch_size, self.world_size or 1, (self.epochs or 1) if epochs else 1, tokenizer, config.random_seed
        )
        return line_up(view, exporter, name, wanted, limits_of(config), kept, progress)


def told(manifest: Mapping[str, Any]) -> list[str]:
    """What a plan achieved, in lines; none where nothing was planned."""
    from ktoformats.train.fit import FitReport, Limits
    from ktoformats.train.plan import PlanReport

    plan = manifest.get("plan", {})
    lines = []
    for achieved in plan.get("achieved", [])[:1]:  # the other epochs are like the first
        lines += str(PlanReport(**achieved)).splitlines()
    if "fit" in plan:
        lines += str(FitReport(**plan["fit"] | {"limits": Limits(**plan["fit"]["limits"])})).splitlines()
    return lines


_NAMES = ("--batch-size", "--world-size", "--epochs", "--tokenizer")
