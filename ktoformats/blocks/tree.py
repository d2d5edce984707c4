"""Trees of messages: nested, or as nodes that name their parent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import Field, model_validator

from ktoformats.blocks.candidates import Candidate, Group
from ktoformats.blocks.chat import Chat
from ktoformats.blocks.context import required
from ktoformats.blocks.path import MISSING, Scope, same
from ktoformats.blocks.spec import PathText, Spec, path
from ktoformats.errors import RecordError
from ktoformats.plugin.turns import answer_of, context_of

if TYPE_CHECKING:
    from collections.abc import Iterator


Where = dict[PathText, Any]
"""Path to the value that must stand there."""

_MAX_NODES: Final = 100_000


class Tree(Spec):
    """Where the tree stands and how its nodes hang together."""

    root: PathText | None = None
    """The root node of a nested tree. Without it and without `nodes` each record is a node."""
    children: PathText = "children"
    """With `root`: the nodes below a node."""
    nodes: PathText | None = None
    """An object of nodes by id, or a list of nodes."""
    id: PathText = "id"
    """With nodes or records: a node's own id."""
    parent: PathText = "parent"
    """With nodes or records: the id of the node above."""
    pick: PathText | None = None
    """With `nodes`: the id of the one answer that was judged."""
    dead: Where = Field(default_factory=dict)
    """Nodes that count as absent, with all below them."""
    skip: Where = Field(default_factory=dict)
    """Answers that are no candidates, but part of what follows them."""

    @model_validator(mode="after")
    def _is_one(self) -> Tree:
        if self.root is not None and self.nodes is not None:
            raise ValueError("expected root or nodes, got both")
        if self.pick is not None and self.nodes is None:
            raise ValueError("pick belongs to nodes")
        return self

    @property
    def of_rows(self) -> bool:
        """Whether each record is a node."""
        return self.root is None and self.nodes is None


def matches(where: Where, scope: Scope) -> bool:
    """Whether every path of a condition holds its value, or one of its list of values."""
    return all(_holds(path(key).read(scope), value) for key, value in where.items())


def any_matches(where: Where, scope: Scope) -> bool:
    """Whether any path of a condition holds its value, or one of its list of values."""
    return any(_holds(path(key).read(scope), value) for key, value in where.items())


def _holds(found: Any, wanted: Any) -> bool:
    return any(same(found, one) for one in (wanted if type(wanted) is list else [wanted]))


class TreeReader:
    """Reads the groups of sibling answers of a tree.

    Args:
        spec: Where the tree stands.
        chat: What a node's message looks like.
    """

    def __init__(self, spec: Tree, *, chat: Chat | None = None) -> None:
        self._spec = spec
        self._chat = chat or Chat()

    def read(self, scope: Scope) -> Iterator[Group]:
        """The answers to each user turn, with the way down to it as their context.

        Raises:
            RecordError: The tree cannot be read.
        """
        spec = self._spec
        if spec.root is not None:
            root = required(path(spec.root).read(scope), spec.root)
            yield from self._nested(root, scope)
            return
        field = spec.nodes or ""
        nodes = self._by_id(required(path(field).read(scope), field), field)
        if spec.pick is not None:
            yield self._picked(nodes, required(path(spec.pick).read(scope), spec.pick), scope)
            return
        below: dict[Any, list[dict[str, Any]]] = {}
        key_of = {id(node): key for key, node in nodes.items()}  # an object of nodes may hold their ids as keys alone
        for node in nodes.values():
            parent = _above(node, spec.parent)
            below.setdefault(parent if parent in nodes else None, []).append(node)
        for root in below.get(None, []):
            yield from self._walk(root, lambda node: below.get(key_of[id(node)], []), scope)

    def read_rows(self, rows: list[Any]) -> Iterator[Group | RecordError]:
        """The same where each row is a node; an answer whose way up is broken is an error with its row."""
        number_of = {id(row): number for number, row in enumerate(rows)}
        nodes: dict[Any, Any] = {}
        below: dict[Any, list[Any]] = {}
        for number, row in enumerate(rows):
            key = _read(row, self._spec.id)
            if type(row) is not dict or type(key) not in (str, int):
                yield _broken(number, f"expected a message with the id {self._spec.id!r}")
            elif key in nodes:
                yield _broken(number, f"the id {key!r:.60} stands twice")
            else:
                nodes[key] = row
                below.setdefault(_above(row, self._spec.parent), []).append(row)
        for key, roots in below.items():
            for root in [] if key in nodes else roots:
                ways = self._steps(root, lambda node: below.get(_read(node, self._spec.id), []))
                if key is None:
                    yield from (self._group(way, answers, Scope(rows, rows), number_of) for way, answers in ways)
                    continue
                lost = [one for _, answers in ways for one in answers] + [root] * self._is_candidate(root)
                message = f"the message above, {key!r:.60}, is in no record, or leads in a circle"
                yield from (_broken(number_of[id(one)], message) for one in lost)
        for key in _in_circles({key: _above(row, self._spec.parent) for key, row in nodes.items()}):
            if self._is_candidate(nodes[key]):
                yield _broken(number_of[id(nodes[key])], "the messages name each other as parents in a circle")

    def _nested(self, root: Any, scope: Scope) -> Iterator[Group]:
        def below(node: dict[str, Any]) -> list[Any]:
            found = _read(node, self._spec.children)
            return found if type(found) is list else []

        yield from self._walk(root, below, scope)

    def _walk(self, root: Any, below: Any, scope: Scope) -> Iterator[Group]:
        for way, answers in self._steps(root, below):
            yield self._group(way, answers, scope, {})

    def _steps(self, root: Any, below: Any) -> Iterator[tuple[tuple[Any, ...], list[Any]]]:
        """Each way down with the answers at its end; depth first, without recursion, for trees may be deep."""
        waiting: list[tuple[Any, tuple[Any, ...]]] = [(root, ())]
        seen = 0
        while waiting:
            node, above = waiting.pop()
            seen += 1
            if seen > _MAX_NODES:
                raise RecordError("too_many_items", f"the tree has more than {_MAX_NODES} nodes, or is none")
            if type(node) is not dict or self._is_dead(node):
                continue
            way = (*above, node)
            children = below(node)
            answers = [one for one in children if self._is_candidate(one)]
            if answers:
                yield way, answers
            waiting += [(child, way) for child in reversed(children)]

    def _is_dead(self, node: dict[str, Any]) -> bool:
        return bool(self._spec.dead) and any_matches(self._spec.dead, Scope(node, node))

    def _is_candidate(self, node: Any) -> bool:
        if type(node) is not dict or self._is_dead(node) or any_matches(self._spec.skip, Scope(node, node)):
            return False
        return self._chat.role_of(node) == "assistant"

    def _group(self, way: tuple[Any, ...], answers: list[Any], scope: Scope, rows: dict[int, int]) -> Group:
        candidates = []
        for number, node in enumerate(answers):
            inner = Scope(scope.record, node, number)
            try:
                _, turns = self._chat.read([node], "node")
                answer: Any = answer_of(("", turns), "node")
            except RecordError as error:
                answer = error
            candidates.append(Candidate(str(number), answer, inner, rows.get(id(node), 0)))
        try:
            context = context_of(self._chat.read(list(way), "node"), "node")
        except RecordError as error:
            # the way to them is broken: each of them is lost, and nobody else
            candidates = [one._replace(answer=error) for one in candidates]
            context = None
        return Group(context, candidates)

    def _by_id(self, nodes: Any, field: str) -> dict[Any, dict[str, Any]]:
        if type(nodes) is dict:
            return {key: node for key, node in nodes.items() if type(node) is dict}
        if type(nodes) is not list:
            raise RecordError("wrong_type", "expected the nodes of a tree: an object by id, or a list", field=field)
        found = {}
        for node in nodes:
            key = _read(node, self._spec.id) if type(node) is dict else MISSING
            if type(key) not in (str, int):
                raise RecordError("wrong_type", f"a node without {self._spec.id!r}", field=field)
            found[key] = node
        return found

    def _picked(self, nodes: dict[Any, dict[str, Any]], key: Any, scope: Scope) -> Group:
        way: list[dict[str, Any]] = []
        known = key if type(key) in (str, int) else None
        while known in nodes:
            way.append(nodes[known])
            if len(way) > len(nodes):
                raise RecordError("wrong_type", "the nodes name each other as parents in a circle")
            parent = _read(nodes[known], self._spec.parent)
            known = parent if type(parent) in (str, int) else None
        if not way:
            raise RecordError("missing_field", f"no node has the id {key!r:.60}", field=self._spec.pick or "")
        system, turns = self._chat.read(way[::-1], self._spec.nodes or "")
        answer = answer_of((system, turns), self._spec.nodes or "")
        return Group(answer.context, [Candidate("0", answer, scope)])


def _read(node: Any, key: str) -> Any:
    return path(key).read(Scope(node, node))


def _above(node: dict[str, Any], key: str) -> Any:
    """The id of the node above, None for a root."""
    found = _read(node, key)
    return found if type(found) in (str, int) else None


def _in_circles(above: dict[Any, Any]) -> list[Any]:
    """The ids that no root leads to."""
    children: dict[Any, list[Any]] = {}
    for key, parent in above.items():
        children.setdefault(parent, []).append(key)
    waiting = [parent for parent in children if parent not in above]
    reached = set()
    while waiting:
        found = children.get(waiting.pop(), [])
        reached.update(found)
        waiting += found
    return [key for key in above if key not in reached]


def _broken(row: int, message: str) -> RecordError:
    error = RecordError("broken_tree", message)
    error.row = row
    return error
