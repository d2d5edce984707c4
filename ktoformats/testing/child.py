"""The fresh process: `python -m ktoformats.testing.child`, a plugin's name in, its portrait out."""

from __future__ import annotations

import sys

import orjson

from ktoformats.errors import PluginContractError
from ktoformats.plugin.kinds import Example
from ktoformats.plugin.registry import Registry
from ktoformats.testing.portrait import portrait
from ktoformats.testing.subject import Subject


def main() -> None:
    """Make the portrait that the parent process asks for."""
    kind, name, examples = orjson.loads(sys.stdin.buffer.read())
    subject = Subject(kind, name, examples=[Example(*one) for one in examples], registry=Registry())
    try:
        answer = portrait(subject)
    except PluginContractError as error:
        raise SystemExit(str(error)) from None
    sys.stdout.buffer.write(b"\n" + orjson.dumps(answer))  # what the plugin prints stands on lines of its own


if __name__ == "__main__":
    main()
