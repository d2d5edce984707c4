"""Where answers stand: from the place of a known answer to the candidates of a mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ktoformats.plugin.turns import ROLES
from ktoformats.propose.marks import marks_before
from ktoformats.propose.trial import PREFIX
from ktoformats.propose.walk import Place, at, cells, first_index, path_of, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLE_KEYS: Final = ("role", "from", "author", "speaker", "sender")
_NATIVE_CONTENT: Final = ("content", "value")
_NATIVE_PARTS: Final = ("text", "value")
_LEAST_NODES: Final = 2
_MOST_END: Final = 40
"""No longer is a mark behind an answer."""


class Seat(NamedTuple):
    """What a known answer is, and where it stands."""

    kind: str
    """`text`, `message`, `conversation`, `transcript`, `item`, `turn`, `tree` or `node`."""
    column: Place
    """The field, the list or the root that it stands in."""
    form: dict[str, Any]
    """The form's options beside the path, of an item those of the item."""
    record: int
    """The number of its record."""
    number: int = 0
    """Of an item or a turn: which one."""
    extra: dict[str, Any] = {}  # noqa: RUF012 - options of the mapping that it needs: chat, marks, tree
    place: Place = ()

    def is_like(self, other: Seat) -> bool:
        """Whether one mapping reads both as the same candidate."""
        return (self.kind, self.column, self.form) == (other.kind, other.column, other.form)

    def as_form(self) -> Any:
        """A named candidate's form, in its shortest spelling."""
        path = path_of(self.column)
        if self.kind == "item":
            return {"text": path, "many": True}
        if self.kind == "text":
            return {"text": path, **self.form} if self.form else path
        return {self.kind: path, **self.form}


def find(records: list[Any], answer: str) -> Iterator[Seat]:
    """Every seat of a known answer; those of texts that are the answer, or else begin with it, come alone."""
    same: list[Seat | None] = []
    whole: list[Seat | None] = []
    others: list[Seat | None] = []
    for number, record in enumerate(records):
        for place, text in texts(record):
            how = _match(text, answer)
            if how:
                kind = same if text.strip() == answer.strip() else whole if how == "whole" else others
                kind.append(seat_of(record, number, place, how, answer))
    yield from (seat for seat in same or whole or others if seat is not None)


def _match(text: str, answer: str) -> str:
    """How a text holds an answer: as a `whole`, at its `head` (before an end mark), at its `tail`; empty if not."""
    text, answer = text.strip(), answer.strip()
    if answer not in text:
        return ""
    if text == answer:
        return "whole"
    if text.startswith(answer):
        rest = text[len(answer) :].lstrip()
        is_mark = len(rest) <= _MOST_END and rest.startswith("<") and rest.endswith(">")
        return "head" if is_mark else "whole" if len(answer) >= PREFIX else ""
    if text.endswith(answer) or len(answer) >= PREFIX:
        return "tail"
    return ""


def seat_of(record: Any, number: int, place: Place, how: str, answer: str) -> Seat | None:
    """The seat of an answer whose text stands at a place.

    Args:
        record: Its record.
        number: The record's number.
        place: Where the text stands.
        how: The text is the answer (`whole`), begins with it (`head`) or ends in it (`tail`).
        answer: The answer; with `whole` nobody looks at it.
    """
    message = message_at(record, place)
    if message is not None:
        return _of_message(record, number, message, place)
    if how == "tail":
        return _of_transcript(record, number, place, answer)
    form: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    if how == "head":
        text = at(record, place)
        end = text[text.index(answer.strip()) + len(answer.strip()) :]
        form, extra = {"strip_end": True}, {"marks": {"end": [end]}}
    first = first_index(place)
    if first is None:
        return Seat("text", place, form, number, 0, extra, place)
    inner = place[first + 1 :]
    item = at(record, place[: first + 1])
    if inner == (0,) and len(item) == 1:
        inner = ()
    return Seat("item", place[:first], {"text": path_of(inner)}, number, _index(place, first), extra, place)


def _index(place: Place, position: int) -> int:
    step = place[position]
    return step if type(step) is int else 0


def _of_transcript(record: Any, number: int, place: Place, answer: str) -> Seat | None:
    text = at(record, place)
    marks = marks_before(text[: text.rindex(answer.strip())])
    if marks is None:
        return None
    first = first_index(place)
    if first is None:
        return Seat("transcript", place, {}, number, 0, {"marks": marks}, place)
    form = {"transcript": path_of(place[first + 1 :])}
    return Seat("item", place[:first], form, number, _index(place, first), {"marks": marks}, place)


def message_at(record: Any, place: Place) -> Place | None:
    """The innermost object with a role that a place stands in."""
    for end in range(len(place) - 1, -1, -1):
        value = at(record, place[:end])
        if type(value) is dict and role_of(value) is not None:
            return place[:end]
    return None


def role_of(message: dict[str, Any]) -> tuple[str, str] | None:
    """The path of a message's role and the role; None where it is no message."""
    for key in ROLE_KEYS:
        role, path = message.get(key), key
        if type(role) is dict and type(role.get("role")) is str:
            role, path = role["role"], f"{key}.role"
        if type(role) is str and role.lower() in ROLES:
            return path, ROLES[role.lower()]
    return None


def roles_in(value: Any) -> list[str]:
    """The roles of a list of messages; empty where it is none."""
    if type(value) is not list or not value or any(type(one) is not dict for one in value):
        return []
    roles = [role_of(one) for one in value]
    return [] if None in roles else [role[1] for role in roles if role]


def _of_message(record: Any, number: int, message: Place, place: Place) -> Seat | None:
    chat = _chat_of(at(record, message), place[len(message) :])
    extra: dict[str, Any] = {"chat": chat} if chat else {}
    return (
        _of_tree(record, number, message, extra, place)
        or _of_nodes(record, number, message, extra, place)
        or _of_list(record, number, message, extra, place)
    )


def _chat_of(message: dict[str, Any], content: Place) -> dict[str, Any]:
    """What must be said of a message's keys; nothing where they are the usual ones."""
    role = (role_of(message) or ("role", ""))[0]
    chat = {} if role in ("role", "from") else {"role": role}
    parts = [position for position, step in enumerate(content) if type(step) is int]
    native = content[0] in _NATIVE_CONTENT and (len(content) == 1 or content[-1] in _NATIVE_PARTS)
    if not native:
        path = path_of(content)
        if parts:
            head, rest = content[: parts[0]], content[parts[0] + 1 :]
            path = path_of(head) + "[*]" + (f".{path_of(rest)}" if rest else "")
        chat["content"] = path
    return chat


def _of_tree(record: Any, number: int, message: Place, extra: dict[str, Any], place: Place) -> Seat | None:
    """An answer below another message: `root.children[0].children[1]`."""
    root, children = message, ""
    while len(root) > 2 and type(root[-1]) is int and type(root[-2]) is str:  # noqa: PLR2004 - a key and an index
        above = at(record, root[:-2])
        if type(above) is not dict or role_of(above) is None:
            break
        children, root = root[-2], root[:-2]
    if not children:
        return None
    tree: dict[str, Any] = {"root": path_of(root), "children": children}
    flags = {
        key for _, one in _tree_nodes(at(record, root), children) for key, cell in one.items() if type(cell) is bool
    }
    if "deleted" in flags:
        tree |= {"dead": {"deleted": True}}
    if "review_result" in flags:
        tree |= {"skip": {"review_result": False}}
    return Seat("tree", root, {"children": children}, number, _index(message, -1), {**extra, "tree": tree}, place)


def _tree_nodes(node: Any, children: str) -> Iterator[tuple[int, dict[str, Any]]]:
    waiting = [(0, node)]
    while waiting:
        depth, one = waiting.pop()
        if type(one) is dict:
            yield depth, one
            below = one.get(children)
            waiting += [(depth + 1, child) for child in below] if type(below) is list else []


def _of_nodes(record: Any, number: int, message: Place, extra: dict[str, Any], place: Place) -> Seat | None:
    """An answer among nodes that name their parents, one of which the record picks."""
    container = at(record, message[:-1])
    if type(container) is not dict or len(container) < _LEAST_NODES:
        return None
    inner = [one for one in container.values() if type(one) is dict]
    parent = next((key for key in at(record, message) if _names_parents(key, inner, container)), None)
    if parent is None:
        return None
    picks = [spot for spot, cell in cells(record) if cell == message[-1] and spot[: len(message) - 1] != message[:-1]]
    tree = {"nodes": path_of(message[:-1]), "parent": parent}
    if picks:
        tree["pick"] = path_of(max(picks, key=lambda spot: ("message" in path_of(spot), -len(spot))))
    return Seat("node", message[:-1], {"parent": parent}, number, 0, {**extra, "tree": tree}, place)


def _names_parents(key: str, inner: list[dict[str, Any]], container: dict[str, Any]) -> bool:
    named = [one.get(key) for one in inner]
    return any(type(one) is str and one in container for one in named) and "parent" in key.lower()


def _of_list(record: Any, number: int, message: Place, extra: dict[str, Any], place: Place) -> Seat:
    """A message by itself, the answer of a dialogue, or one of a list of answers."""

    def item(first: int, kind: str, inner: Place) -> Seat:
        form = {kind: path_of(inner)}
        return Seat("item", message[:first], form, number, _index(message, first), extra, place)

    first = first_index(message)
    if first is None:
        return Seat("message", message, {}, number, 0, extra, place)
    if type(message[-1]) is str:
        return item(first, "message", message[first + 1 :])
    field, position = message[:-1], _index(message, -1)
    roles = roles_in(at(record, field))
    is_dialogue = "user" in roles[:position]
    if first < len(field):
        return item(first, "conversation" if is_dialogue else "message", field[first + 1 :])
    if is_dialogue:
        kind = "turn" if "assistant" in roles[position + 1 :] else "conversation"
        return Seat(kind, field, {}, number, position, extra, place)
    if roles.count("assistant") == 1:
        return Seat("message", field, {}, number, 0, extra, place)
    return item(first, "message", ())
