"""Verdict cells to labels, through the scale that the config or the fact names; remembered per distinct cell."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ktoformats.errors import KTOLabelError, PluginContractError
from ktoformats.feedback import BAD, GOOD
from ktoformats.plugin.kinds import Labels
from ktoformats.plugin.scale import Reading, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ktoformats.plugin.scale import Scale

_MEMO_LIMIT = 20_000
_LABELS = (GOOD, BAD, "")
_SCALARS = frozenset({str, int, float, bool})


class Verdict(NamedTuple):
    """A label, or why there is none."""

    label: str
    """`good`, `bad` or empty."""
    reason: str = ""
    """Where the label is empty: `null_verdict` or `neutral`."""
    scale: str = ""
    position: float | None = None
    """From 0 (worst) to 1 (best)."""
    flags: tuple[str, ...] = ()


class LabelReader:
    """Reads cells on scales.

    Args:
        named: Label plugins by name: all that formats or the config name.
        overrides: Label plugins by column: `scales:` of the config, which win over what a fact names.
        names: What these are called, by column; for messages.
    """

    def __init__(
        self,
        named: Mapping[str, Labels],
        overrides: Mapping[str, Labels],
        names: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.named: dict[str, Labels] = dict(named)
        self.overrides: dict[str, Labels] = dict(overrides)
        self._names = dict(names)
        self._memo: dict[tuple[Any, ...], Verdict] = {}

    @property
    def plugins(self) -> list[Labels]:
        """Everything that reads cells."""
        return [*self.named.values(), *self.overrides.values()]

    def read(self, cell: Any, field: str, scale: str | Scale | Labels) -> Verdict:
        """Read one raw cell of one column.

        Raises:
            KTOLabelError: The cell is no value of the column's scale; `field` is set.
        """
        kind = type(cell)
        key = (field, scale, kind, cell) if kind in _SCALARS else None
        if key is not None and (known := self._memo.get(key)) is not None:
            return known
        verdict = self._read(cell, field, scale)
        if key is not None and len(self._memo) < _MEMO_LIMIT:
            self._memo[key] = verdict
        return verdict

    def _read(self, cell: Any, field: str, scale: str | Scale | Labels) -> Verdict:
        plugin = self.overrides.get(field)
        if plugin is None:
            plugin = self._plugin(scale)
        try:
            reading = plugin.read(cell)
        except KTOLabelError as error:
            raise KTOLabelError(error.reason, error.message, field=field, seen=shown(cell)) from None
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            message = f"{_name(plugin)}.read failed on {shown(cell)} ({type(error).__name__}: {error})"
            raise PluginContractError(message, kind="labels", plugin=self._known_as(plugin)) from error
        if reading is None:
            return Verdict("", "null_verdict")
        sound = (
            isinstance(reading, Reading) and reading.label in _LABELS and isinstance(reading.position, float | int)
        )
        if not sound:
            message = f"{_name(plugin)}.read returned {reading!r:.80}, expected a Reading of good, bad or nothing"
            raise PluginContractError(message, kind="labels", plugin=self._known_as(plugin))
        reason = "" if reading.label else "neutral"
        position = reading.position + 0.0  # a worst cell may be written -0.0
        return Verdict(reading.label, reason, reading.scale, position, reading.flags)

    def _known_as(self, plugin: Labels) -> str:
        """The name of a plugin; empty for one that was given as an object."""
        known = ((self._names.get(column, ""), one) for column, one in self.overrides.items())
        return next((name for name, one in (*self.named.items(), *known) if one is plugin), "")

    def _plugin(self, scale: str | Scale | Labels) -> Labels:
        if isinstance(scale, Labels):
            return scale
        return self._by_name(scale) if isinstance(scale, str) else _Plain(scale=scale)

    def _by_name(self, name: str) -> Labels:
        if name not in self.named:
            raise PluginContractError(
                f"a fact names the label plugin {name!r}, which its format does not announce; "
                "its class must list it in default_scales (or return it from label_plugins)",
                kind="format",
            )
        return self.named[name]

    def __getstate__(self) -> dict[str, Any]:
        return {"named": self.named, "overrides": self.overrides, "_names": self._names, "_memo": {}}


def _name(plugin: Labels) -> str:
    return f"{type(plugin).__module__}.{type(plugin).__name__}"


class _Plain(Labels):
    """A scale that a fact carries along."""
