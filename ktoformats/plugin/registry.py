"""Plugins by kind and name: imported when named, isolated when they fail, never guessed between."""

from __future__ import annotations

import traceback
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pluggy

from ktoformats.errors import (
    ConfigError,
    PluginConflictError,
    PluginContractError,
    PluginError,
    PluginLoadError,
    PluginNotFoundError,
)
from ktoformats.page.notebook import table
from ktoformats.plugin import spec
from ktoformats.plugin.discovery import ALLOW_VARIABLE, GROUPS, OBSERVER, PRESET, Found, discover, strays
from ktoformats.plugin.faults import place, sentence, suggest
from ktoformats.plugin.trace import trace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from ktoformats.plugin.kinds import Plugin

_EVENTS: Final = ("ktoformats_record_rejected", "ktoformats_dataset_built")


class Loaded(NamedTuple):
    """A plugin class that is ready to be configured."""

    found: Found
    cls: type[Plugin]


class Status(NamedTuple):
    """One line of `ktoformats plugin list`."""

    kind: str
    name: str
    distribution: str
    version: str
    module: str
    state: str
    """`available` (not imported), `loaded`, `blocked`, `conflict` or `failed`."""
    why: str


class Registry:
    """The installed plugins, as a value: build one, ask it, throw it away.

    Args:
        found: What is installed; None asks the metadata of the running interpreter.
    """

    def __init__(self, found: Iterable[Found] | None = None) -> None:
        self._found = tuple(discover() if found is None else found)
        self._loaded: dict[Found, Loaded] = {}
        self._observers: dict[Found, object] = {}
        self._failed: dict[Found, PluginError] = {}
        self._manager = pluggy.PluginManager(spec.PROJECT)
        self._manager.add_hookspecs(spec)
        trace(self._manager)

    def __repr__(self) -> str:
        kinds = Counter(one.kind for one in self._found)
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing installed"
        return f"Registry({listed}; {len(self._loaded) + len(self._observers)} loaded)"

    def _repr_html_(self) -> str:
        """Every installed plugin, for notebooks; nothing is imported to show it."""
        headings = ("kind", "name", "distribution", "version", "state", "why")
        rows = [(one.kind, one.name, one.distribution, one.version, one.state, one.why) for one in self.statuses()]
        return table(f"{len(rows)} plugins, and {len(self.presets())} presets", headings, rows)

    def tell(self, event: str, *, observers: Collection[str] = (), **facts: Any) -> None:
        """Call an event hook on every loaded plugin module that listens, and on the observers that are named.

        Args:
            event: The hook.
            observers: Those that hear of it; others may be loaded, because another configuration named them.
            facts: Its arguments.

        Raises:
            PluginError: A listener failed; the message names the hook, its module, plugin and distribution.
        """
        plugins = {one.module for one in self._loaded}
        deaf = [
            module
            for one, module in self._observers.items()
            if one.name not in observers and one.module not in plugins
        ]
        try:
            self._manager.subset_hook_caller(event, deaf)(**facts)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whoever only listens does not end the process in silence, either
            raise self._failure(event, error) from error

    def _failure(self, event: str, error: BaseException) -> PluginError:
        """The error of a listener: it is the one whose function the traceback comes through."""
        ran = {frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)}
        heard = getattr(self._manager.hook, event).get_hookimpls()
        module = next(
            (one.plugin_name for one in heard if getattr(one.function, "__code__", None) in ran), "a plugin"
        )
        owned = [one for one in (*self._observers, *self._loaded) if one.module == module]
        known = f"; it is {owned[0].kind} {owned[0].name!r} of {owned[0].owner}" if owned else ""
        return PluginError(
            f"{event} in {module} failed ({type(error).__name__}: {error}){known}",
            kind=owned[0].kind if owned else "",
            plugin=owned[0].name if owned else module,
        )

    def names(self, kind: str) -> list[str]:
        """The installed names of a kind, sorted."""
        return sorted({one.name for one in self._found if one.kind == kind})

    def first_party(self, kind: str) -> list[Found]:
        """What ships with ktoformats: what `default` stands for."""
        return [one for one in self._found if one.kind == kind and one.first_party]

    def presets(self) -> list[Found]:
        """Every installed preset that may be read."""
        return [one for one in self._found if one.kind == PRESET and one.allowed]

    def owner(self, kind: str, name: str, *, ours: bool = False) -> str:
        """Distribution and version of a plugin; `ours` as in `make`."""
        own = [one for one in self.first_party(kind) if ours and one.name == name]
        return (own[0] if own else self._resolve(kind, name)).owner

    def name_owner(self, error: PluginError) -> None:
        """Have the message of an error say which distribution its plugin is of, where that is known."""
        if error.kind and error.plugin:
            with suppress(PluginError):
                owner = self.owner(error.kind, error.plugin.partition(":")[0])  # a format goes by its preset, too
                if owner not in str(error):
                    error.args = (f"{error} [{owner}]",)

    def find(self, kind: str, name: str) -> Found:
        """What is installed under this name, not imported; see `load` for what it raises."""
        one = self._resolve(kind, name)
        if not one.allowed:
            raise _blocked(one)
        return one

    def load(self, kind: str, name: str) -> Loaded:
        """Import the plugin of this kind and name.

        Raises:
            PluginNotFoundError: Nothing of that name is installed; close names are suggested.
            PluginConflictError: Two distributions register the name.
            PluginLoadError: It is blocked, or its module cannot be imported or registered.
            PluginContractError: Its hook does not return exactly one class of this kind.
        """
        return self.load_found(self._resolve(kind, name))

    def load_found(self, one: Found) -> Loaded:
        """Import one discovered plugin; see `load` for what it raises."""
        if not one.allowed:
            raise _blocked(one)
        if one in self._failed:
            raise self._failed[one]
        if one not in self._loaded:
            try:
                self._loaded[one] = self._import(one)
            except PluginError as error:
                self._failed[one] = error
                raise
        return self._loaded[one]

    def observe(self, name: str) -> Found:
        """Import an observer, so that it hears the events for which it is named.

        Raises:
            PluginContractError: Its module implements no event.
            PluginError: As `load`.
        """
        one = self.find(OBSERVER, name)
        if one in self._failed:
            raise self._failed[one]
        if one not in self._observers:
            try:
                self._observers[one] = self._listener(one)
            except PluginError as error:
                self._failed[one] = error
                raise
        return one

    def make(
        self,
        kind: str,
        name: str,
        options: Mapping[str, Any],
        inherited: Mapping[str, Any],
        *,
        ours: bool = False,
    ) -> Plugin:
        """Load a plugin and set its options.

        Args:
            kind: The plugin's kind.
            name: Its name.
            options: What the config says under its name.
            inherited: Fields of the data section; the ones the class `inherits` fill options not given.
            ours: A default that nobody wrote down: the first-party plugin is meant, whoever else took its name.

        Raises:
            ConfigError: An option is unknown or its value is wrong.
            PluginError: As `load`.
        """
        from pydantic import ValidationError

        own = [one for one in self.first_party(kind) if ours and one.name == name]
        cls = (self.load_found(own[0]) if own else self.load(kind, name)).cls
        if unknown := sorted(set(options) - set(cls.model_fields)):
            known = ", ".join(cls.model_fields) or "none"
            hint = suggest(unknown[0], cls.model_fields)
            raise ConfigError(f"{kind} {name!r} has no option {unknown[0]!r}{hint}; its options are: {known}")
        values = {key: inherited[key] for key in cls.inherits if key in inherited} | dict(options)
        try:
            return cls(**values)
        except ValidationError as error:
            # of the alternatives that a value may be, the fault that lies deepest is in the one that was meant
            deepest = max(error.errors(), key=lambda fault: len(place(fault["loc"], values)))
            raise ConfigError(f"{kind} {name!r}, option {sentence(deepest, values, _keys_of(cls))}") from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            owner = self.owner(kind, name, ours=ours)
            message = f"{kind} plugin {name!r} of {owner} cannot be made ({type(error).__name__}: {error})"
            raise PluginContractError(message, kind=kind, plugin=name) from error

    def statuses(self, *, presets: bool = False) -> list[Status]:
        """Describe every installed plugin without importing any; or every preset."""
        return [self._status(one) for one in self._found if (one.kind == PRESET) == presets]

    def load_all(self) -> None:
        """Import every plugin; failures are recorded, see `statuses`."""
        for one in (one for one in self._found if one.kind != PRESET):
            try:
                if one.kind == OBSERVER:
                    self.observe(one.name)
                else:
                    self.load(one.kind, one.name)
            except PluginError:
                continue  # recorded, or visible as blocked or in conflict

    def _status(self, one: Found) -> Status:
        state, why = "available", ""
        if not one.allowed:
            state, why = "blocked", f"not named in {ALLOW_VARIABLE}"
        elif rivals := [rival for rival in self._named(one.kind, one.name) if rival != one]:
            state, why = "conflict", "also registered by " + ", ".join(rival.owner for rival in rivals)
        elif one in self._failed:
            state, why = "failed", str(self._failed[one])
        elif one in self._loaded or one in self._observers:
            state = "loaded"
        return Status(one.kind, one.name, one.distribution, one.version, one.module, state, why)

    def _named(self, kind: str, name: str) -> list[Found]:
        """Who may load under this name, or who is blocked; a blocked plugin is in no other's way."""
        named = [one for one in self._found if (one.kind, one.name) == (kind, name)]
        return [one for one in named if one.allowed] or named[:1]

    def _resolve(self, kind: str, name: str) -> Found:
        if kind not in (*GROUPS, PRESET, OBSERVER):
            raise PluginNotFoundError(f"no kind {kind!r}; kinds are {', '.join(GROUPS)}", kind=kind, plugin=name)
        candidates = self._named(kind, name)
        if not candidates:
            told = self._as_preset(name) + "".join(f"; {stray}" for stray in strays())
            raise PluginNotFoundError(
                f"no {_called(kind)} is called {name!r}{_instead(name, self.names(kind))}{told}",
                kind=kind,
                plugin=name,
            )
        if len(candidates) > 1:
            owners = " and ".join(sorted(one.owner for one in candidates))
            raise PluginConflictError(
                f"{kind} {name!r} is registered by {owners}; uninstall one of them", kind=kind, plugin=name
            )
        return candidates[0]

    def _as_preset(self, name: str) -> str:
        """What to say instead, where a name is that of a preset, alone or as reports write it (`FORMAT:PRESET`)."""
        preset = name.rpartition(":")[2]
        known = preset in {one.name for one in self.presets()}
        return f"; {preset!r} is a preset: say --preset {preset}, or give it to its format" if known else ""

    def _import(self, one: Found) -> Loaded:
        label = _label(one)
        module = _imported(one, label)
        try:
            self._register(module)
            caller = self._manager.subset_hook_caller(
                "ktoformats_plugins",
                [plugin for plugin in self._manager.get_plugins() if plugin is not module],
            )
            classes = [cls for result in caller() for cls in _listed(result, label, one)]
        except (PluginError, KeyboardInterrupt):
            self._forget(module)
            raise
        except BaseException as error:
            self._forget(module)
            message = f"{label} cannot be registered ({type(error).__name__}: {error})"
            raise PluginLoadError(message, kind=one.kind, plugin=one.name) from error
        return Loaded(one, self._only_class(one, classes, label))

    def _listener(self, one: Found) -> object:
        label = _label(one)
        module = _imported(one, label)
        try:
            self._register(module)
        except Exception as error:
            self._forget(module)
            message = f"{label} cannot be registered ({type(error).__name__}: {error})"
            raise PluginLoadError(message, kind=one.kind, plugin=one.name) from error
        heard = {caller.name for caller in self._manager.get_hookcallers(module) or ()}
        if heard.isdisjoint(_EVENTS):
            message = f"{label}: its module hears of no event; mark {' or '.join(_EVENTS)} with @hookimpl"
            raise PluginContractError(message, kind=one.kind, plugin=one.name)
        return module

    def _register(self, module: object) -> None:
        if not self._manager.is_registered(module):
            self._manager.register(module)
            self._manager.check_pending()

    def _forget(self, module: object) -> None:
        if self._manager.is_registered(module):
            self._manager.unregister(module)

    def _only_class(self, one: Found, classes: list[type[Plugin]], label: str) -> type[Plugin]:
        from ktoformats.plugin.kinds import KINDS

        own = [cls for cls in classes if issubclass(cls, KINDS[one.kind])]
        if len(own) != 1:
            wanted = KINDS[one.kind].__name__
            others = [f"{cls.__name__}, which is no {wanted}" for cls in classes]
            seen = ", ".join([cls.__name__ for cls in own] or others) or "none (is the hook marked with @hookimpl?)"
            message = f"{label}: its hook ktoformats_plugins must return exactly one {wanted} class, got {seen}"
            raise PluginContractError(message, kind=one.kind, plugin=one.name)
        if abstract := sorted(getattr(own[0], "__abstractmethods__", ())):
            message = f"{label}: class {own[0].__name__} lacks {', '.join(abstract)}"
            raise PluginContractError(message, kind=one.kind, plugin=one.name)
        return own[0]


def _instead(name: str, known: Sequence[str]) -> str:
    """What else there is: the nearest one, and all of them where they are few."""
    if len(known) <= _FEW:
        return f"{suggest(name, known)}; installed are: {', '.join(known) or 'none'}"
    near = [one for one in known if _root(name) in one or _root(one) in name]
    told = suggest(name, known) or (f"; there are {', '.join(near[:_FEW])}" if near else "")
    return f"{told}; `ktoformats plugin list` shows all {len(known)}"


def _root(name: str) -> str:
    return name.partition("-")[0]


_FEW: Final = 20


def _keys_of(cls: type[Plugin]) -> set[str]:
    """All keys that options of a plugin have, at any depth."""
    schema = cls.model_json_schema()
    parts = [schema, *schema.get("$defs", {}).values()]
    return {key for part in parts for key in part.get("properties", {})}


def _module_of(one: Found, label: str) -> object:
    """The module that an entry point names."""
    if not one.entry_point.pattern.match(one.module) or ":" in one.module:
        message = (
            f"{label}: its entry point is {one.module!r}; it must name a module, with dots between and nothing else"
        )
        raise PluginLoadError(message, kind=one.kind, plugin=one.name)
    return one.entry_point.load()


def _imported(one: Found, label: str) -> object:
    """The module of a plugin.

    Raises:
        PluginLoadError: It cannot be imported.
    """
    try:
        return _module_of(one, label)
    except (PluginError, KeyboardInterrupt):
        raise
    except BaseException as error:  # neither a bare `sys.exit()` nor a panic in compiled code is a reason to leave
        message = f"{label} cannot be imported ({type(error).__name__}: {error})"
        if isinstance(error, ModuleNotFoundError) and error.name and not _within(one.module, error.name):
            message += f"; install what it needs (pip install {error.name}) or uninstall {one.distribution}"
        raise PluginLoadError(message, kind=one.kind, plugin=one.name) from error


def _label(one: Found) -> str:
    return f"{_called(one.kind)} {one.name!r} of {one.owner}"


def _called(kind: str) -> str:
    return kind if kind in (PRESET, OBSERVER) else f"{kind} plugin"


def _blocked(one: Found) -> PluginLoadError:
    message = f"{_called(one.kind)} {one.name!r} of {one.owner} is blocked: it is not named in {ALLOW_VARIABLE}"
    return PluginLoadError(message, kind=one.kind, plugin=one.name)


def _listed(result: object, label: str, one: Found) -> list[type[Plugin]]:
    from ktoformats.plugin.kinds import KINDS, Plugin

    if not isinstance(result, list) or not all(isinstance(cls, type) and issubclass(cls, Plugin) for cls in result):
        strange = [cls.__name__ for cls in result if isinstance(cls, type)] if isinstance(result, list) else []
        hint = f"; {strange[0]} is none: derive it from ktoformats.{KINDS[one.kind].__name__}" if strange else ""
        message = (
            f"{label}: its hook ktoformats_plugins must return a list of plugin classes, got {result!r:.80}{hint}"
        )
        raise PluginContractError(message, kind=one.kind, plugin=one.name)
    return result


def _within(module: str, parent: str) -> bool:
    """Whether a module (or `module:name`) is the parent itself or lies in it."""
    return module == parent or module.startswith((f"{parent}.", f"{parent}:"))
