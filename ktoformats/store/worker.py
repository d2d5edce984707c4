"""The worker process: `python -m ktoformats.store.worker`, blocks in on stdin, batches out on stdout."""

from __future__ import annotations

import os
import signal
import sys

import orjson

from ktoformats.convert.assemble import assemble
from ktoformats.errors import KtoFormatsError, PluginError
from ktoformats.plugin.registry import Registry
from ktoformats.store.numbers import numbers_of
from ktoformats.store.workers import pack_converted, read_greeting, receive, send, unpack_block


def main() -> None:
    """Assemble the pipeline from the first message, then answer every block."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; it ends its workers
    stdin = sys.stdin.buffer
    stdout = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a plugin that prints must not break the pipe
    greeting = receive(stdin)
    if greeting is None:
        return
    pipeline = None
    while (payload := receive(stdin)) is not None:
        try:
            if pipeline is None:
                pipeline = assemble(read_greeting(greeting), Registry()).pipeline
            converted = pipeline.convert(unpack_block(payload))
            numbers = list(map(numbers_of, converted.batches))  # the one that writes has enough to do
            head, body = pack_converted(converted._replace(numbers=numbers))
        except KtoFormatsError as error:
            told = {"error": type(error).__name__, "message": str(error)}
            if isinstance(error, PluginError):
                told |= {"kind": error.kind, "plugin": error.plugin}
            send(stdout, orjson.dumps(told))
        except Exception as error:  # noqa: BLE001 - a plugin that breaks its promise in a way nobody foresaw
            message = f"a plugin failed ({type(error).__name__}: {error})"
            send(stdout, orjson.dumps({"error": "PluginContractError", "message": message}))
        else:
            send(stdout, head)
            send(stdout, body)


if __name__ == "__main__":
    main()
