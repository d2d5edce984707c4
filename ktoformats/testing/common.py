"""Laws of every kind: registered, documented, configured by plain options, a value without state."""

from __future__ import annotations

import os
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from ktoformats.convert.ledger import Ledger
from ktoformats.errors import ConfigError, PluginContractError, PluginError
from ktoformats.plugin.discovery import OBSERVER, PRESET
from ktoformats.plugin.kinds import KINDS, Plugin
from ktoformats.plugin.registry import Registry
from ktoformats.store.report import Report
from ktoformats.testing.law import LawBrokenError, LawOpenError, law, short
from ktoformats.testing.portrait import foreign_portrait, portrait

if TYPE_CHECKING:
    from ktoformats.testing.subject import Subject

CODE: Final = tuple(KINDS)
"""The kinds that are code."""
EVERY: Final = (*CODE, PRESET)
_OPEN: Final = "???"
"""What stands in a drafted preset where only its author knows."""
_NO_OPTION: Final = "ktoformats_no_such_option"
_ODD: Final[tuple[Any, ...]] = ({"unexpected": [None]}, [[["unexpected"]]], "\x00 unexpected", -(10**30), None)
"""What no sensible option takes; those that take one all the same are left in peace."""


@law(*EVERY, OBSERVER)
def registered(subject: Subject) -> str:
    """It is found and imports; its hook returns exactly one class of its kind, a preset makes a format.

    An observer implements an event.
    """
    found = subject.found
    if subject.kind == PRESET:
        if _OPEN in str(subject.preset.options):
            raise LawOpenError(f"the preset is a draft: put what is meant in place of {_OPEN} in its file")
        subject.assembled()
        return f"{found.owner}, file {subject.preset.path.name}"
    if subject.kind == OBSERVER:
        subject.registry.observe(subject.name)
    else:
        _ = subject.cls
    return f"{found.owner}, module {found.module}"


@law(*CODE)
def documented(subject: Subject) -> None:
    """Its class has a docstring of its own: what it reads or does, in one sentence."""
    own = subject.cls.__doc__
    inherited = {base.__doc__ for base in subject.cls.__mro__[1:] if base is not subject.cls}
    if not own or not own.strip() or own in inherited:
        raise LawBrokenError(f"class {subject.cls.__name__} has no docstring; say in one sentence what it does")


@law(*CODE)
def options(subject: Subject) -> str:
    """Its fields are its options: plain JSON rebuilds it, and a wrong or unknown option is a clear error."""
    plugin = subject.make()
    _refuses_unknown(subject)
    _has_schema(subject)
    for one in (plugin, *(subject.make(example.options) for example in subject.examples)):
        _made_again(subject, one)
    for name in type(plugin).model_fields:
        _takes_or_refuses(subject, name)
    return ", ".join(type(plugin).model_fields) or "none"


def _made_again(subject: Subject, plugin: Plugin) -> None:
    try:
        again = subject.cls(**plugin.model_dump(mode="json", exclude_unset=True))
    except Exception as error:
        raise LawBrokenError(
            f"its own options do not make it again ({type(error).__name__}: {short(str(error))}); workers get them "
            "as JSON, so every field's type must read what it writes"
        ) from error
    if dict(again) != dict(plugin):
        raise LawBrokenError("made again from its own options as JSON, it is another; use types that JSON can carry")


def _refuses_unknown(subject: Subject) -> None:
    values = {**subject.options, _NO_OPTION: 1}
    try:
        subject.cls(**values)
    except ValidationError:
        return
    except Exception as error:
        raise LawBrokenError(
            f"an unknown option raises {type(error).__name__}: {error}; leave `__init__` to the base class"
        ) from error
    raise LawBrokenError(
        "it takes options that it does not have, so a typo in a configuration goes unseen; "
        'keep `extra="forbid"` of the base class'
    )


def _has_schema(subject: Subject) -> None:
    try:
        subject.cls.model_json_schema()
    except Exception as error:
        raise LawBrokenError(
            f"its options have no JSON Schema ({short(str(error))}); use types that JSON knows"
        ) from error


def _takes_or_refuses(subject: Subject, option: str) -> None:
    for value in _ODD:
        try:
            subject.make({**subject.options, option: value})
        except (ConfigError, PluginContractError) as error:
            if isinstance(error, ConfigError):
                continue
            raise LawBrokenError(
                f"option {option!r} with {short(value, 60)}: {error}; raise ValueError in validators, "
                "and pydantic tells the user which option is wrong"
            ) from error


@law(*CODE)
def value(subject: Subject) -> None:
    """It is a value: frozen, equal to another one of the same options, and the same after a trip to a worker."""
    plugin, twin = subject.make(), subject.make()
    if not plugin.model_config.get("frozen"):
        raise LawBrokenError("it can be changed after it was made; keep `frozen=True` of the base class")
    if not _equal(plugin, twin):
        raise LawBrokenError(
            "two of it with the same options are not equal; keep what it computes out of its fields "
            "(a `cached_property` is fine)"
        )
    _travels(plugin)


def _equal(one: object, other: object) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - an array that it holds has no truth value
        return False


def _travels(plugin: Plugin) -> None:
    try:
        back = ForkingPickler.loads(ForkingPickler.dumps(plugin))
    except Exception as error:
        raise LawBrokenError(
            f"it cannot be sent to a worker ({type(error).__name__}: {error}); hold no open files, locks, lambdas or "
            "classes made within functions: open them where they are used"
        ) from error
    if not _equal(back, plugin):
        raise LawBrokenError(
            "what arrives in a worker is not equal to what was sent; let its fields say all there is"
        )


@law(*EVERY)
def deterministic(subject: Subject) -> None:
    """Asked twice, and made anew, it gives the same answers."""
    first = portrait(subject)
    _same(portrait(subject), first, "asked a second time")
    if subject.kind not in ("format", PRESET):
        plugin = subject.make()
        portrait(subject, plugin)
        _same(portrait(subject, plugin), first, "asked a third time")


def _same(one: Any, other: Any, when: str) -> None:
    if one == other:
        return
    raise LawBrokenError(
        f"{when}, it answers otherwise: {_difference(other, one)}; let nothing but options and input decide: no "
        "globals, no counters, no clock, no path, no unseeded chance, no order of a set"
    )


def _difference(one: Any, other: Any) -> str:
    """The first place at which two portraits differ."""
    if type(one) is list and type(other) is list and len(one) == len(other):
        for left, right in zip(one, other, strict=True):
            if left != right:
                return _difference(left, right)
    if type(one) is dict and type(other) is dict and one.keys() == other.keys():
        for key in one:
            if one[key] != other[key]:
                return f"{key}: {_difference(one[key], other[key])}"
    return f"first {short(one, 80)}, then {short(other, 80)}"


@law(*EVERY, quick=False)
def process(subject: Subject) -> None:
    """A fresh process, whatever its hash seed, gives the same answers as this one."""
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    _same(foreign_portrait(subject, seed), portrait(subject), f"in a process of its own (PYTHONHASHSEED={seed})")


@law(*CODE, OBSERVER, quick=False)
def events(subject: Subject) -> None:
    """If its module listens to events, it bears them: a reject without a field, a report of no files."""
    registry = Registry()  # where no other module listens
    observers = [subject.name] if subject.kind == OBSERVER else []
    if not observers:
        registry.load(subject.kind, subject.name)
    for name in observers:
        registry.observe(name)
    reject = {"source": "a.jsonl", "line": 1, "reason": "invalid_json", "field": "", "message": "m"}
    report = Report("train", Ledger()).to_json()
    try:
        registry.tell("ktoformats_record_rejected", observers=observers, **reject)
        registry.tell("ktoformats_dataset_built", observers=observers, split="train", report=report)
    except PluginError as error:
        raise LawBrokenError(
            f"{error}; whoever only listens must not end a run: bear any reason, an empty field, a report of no files"
        ) from error
