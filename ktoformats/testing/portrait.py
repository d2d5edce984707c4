"""All that a plugin answers to what it is tried on, as plain JSON: two portraits of one plugin must be equal."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any, Final, cast

import orjson

from ktoformats.errors import KTOLabelError
from ktoformats.plugin.discovery import PRESET
from ktoformats.store.numbers import seen_by
from ktoformats.testing import corpus
from ktoformats.testing.law import LawBrokenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ktoformats.plugin.kinds import Exporter, Filter, Labels, Plugin, Quality, Utility
    from ktoformats.testing.subject import Result, Subject

_SECONDS: Final = 300
"""How long a process of its own may take."""
_CHILD: Final = "ktoformats.testing.child"


def portrait(subject: Subject, plugin: Plugin | None = None) -> Any:
    """What the plugin answers.

    Args:
        subject: The plugin.
        plugin: The plugin made, for all kinds but formats and presets; None makes it.
    """
    if subject.kind in ("format", PRESET):
        return [told(subject.result(example)) for example in subject.examples]
    made = plugin or subject.make()
    answers = _OF_KIND[subject.kind](made, subject)
    return orjson.loads(orjson.dumps(answers, option=orjson.OPT_SERIALIZE_NUMPY, default=str))


def told(result: Result) -> Any:
    """What records became, as plain JSON."""
    return orjson.loads(
        orjson.dumps([result.samples, result.rejected, result.without_verdict, result.lost], default=str)
    )


def reading_of(plugin: Labels, cell: Any) -> Any:
    """What a cell is read as: a reading, None, or the reason why it is refused."""
    try:
        reading = plugin.read(cell)
    except KTOLabelError as error:
        return error.reason
    return None if reading is None else list(reading)


def _of_labels(plugin: Plugin, subject: Subject) -> Any:
    cells = [*(example.given for example in subject.examples), *corpus.CELLS, *corpus.TEXTS]
    return [reading_of(cast("Labels", plugin), cell) for cell in cells]


def _of_scores(plugin: Plugin, _: Subject) -> Any:
    scores = cast("Quality | Utility", plugin).score(corpus.samples())
    return [float(score) for score in scores]


def _of_filter(plugin: Plugin, _: Subject) -> Any:
    one = cast("Filter", plugin)
    batch = seen_by(one, corpus.samples())
    return [[reason, [bool(dropped) for dropped in mask]] for reason, mask in one.drops(batch)]


def _of_exporter(plugin: Plugin, _: Subject) -> Any:
    exporter = cast("Exporter", plugin)
    with tempfile.TemporaryDirectory(prefix="ktoformats-") as folder:
        path = corpus.part_in(folder, exporter)
        said = exporter.write(corpus.Batches([corpus.samples_for(exporter)]), path)
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in corpus.files_of(path).items()}
        return {
            "what it returns": dict(said),
            "the SHA-256 of its file": sums if exporter.folder else sums[path.name],
        }


_OF_KIND: Final[dict[str, Callable[[Plugin, Subject], Any]]] = {
    "labels": _of_labels,
    "quality": _of_scores,
    "utility": _of_scores,
    "filter": _of_filter,
    "exporter": _of_exporter,
}


def foreign_portrait(subject: Subject, hash_seed: str) -> Any:
    """The portrait that a fresh process makes of the same plugin, with another hash seed.

    Raises:
        LawBrokenError: The process fails.
    """
    examples = [[one.given, None, dict(one.options)] for one in subject.examples]
    try:
        message = orjson.dumps([subject.kind, subject.name, examples])
    except TypeError as error:
        raise LawBrokenError(
            f"its examples are not plain JSON ({error}); give them as a file would hold them"
        ) from error
    environment = os.environ | {
        "PYTHONHASHSEED": hash_seed,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", _CHILD],
        input=message,
        env=environment,
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    answer = done.stdout.rpartition(b"\n")[2]
    if done.returncode or not answer:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise LawBrokenError(
            f"a fresh process cannot use it ({words[-1] if words else f'exit status {done.returncode}'}); a plugin "
            "must be whole after its module is imported: set nothing up elsewhere, and keep examples plain JSON"
        )
    return orjson.loads(answer)
