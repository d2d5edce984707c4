"""`ktoformats`: the commands, and what errors look like."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, Final

import click

import ktoformats
from ktoformats.cli.lazy import Entry, Lazy
from ktoformats.cli.output import console, print_json, safe
from ktoformats.errors import ConfigError, KtoFormatsError, PluginError

_COMMANDS: Final = {
    "cache": Entry("ktoformats.cli.cache:command", "See, check and clear what is kept between runs."),
    "config": Entry("ktoformats.cli.config:command", "Make, check and describe configuration files."),
    "convert": Entry("ktoformats.cli.convert:command", "Turn preference feedback into KTO training data."),
    "demo": Entry("ktoformats.cli.demo:command", "Convert a packaged sample of every format and show the result."),
    "inspect": Entry("ktoformats.cli.inspect:command", "Look at a source: shape, format, first samples."),
    "plugin": Entry("ktoformats.cli.plugin:command", "See what is installed, check it, begin a plugin of your own."),
    "report": Entry(
        "ktoformats.cli.report:command", "Look at data before training: what would go wrong, what to do."
    ),
    "why": Entry("ktoformats.cli.why:command", "Tell the whole story of one record: what became of it, and why."),
}
EXIT_DATA, EXIT_USAGE, EXIT_PLUGIN, EXIT_DEFECT, EXIT_INTERRUPTED = 1, 2, 3, 70, 130
TRACEBACK_VARIABLE: Final = "KTOFORMATS_TRACEBACK"


@click.group(cls=Lazy, entries=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(ktoformats.__version__, prog_name="ktoformats")
def cli() -> None:
    """Any preference feedback in, KTO-ready training data out.

    \b
    Start with:
      ktoformats demo
      ktoformats inspect feedback.jsonl
      ktoformats convert feedback.jsonl -o train.jsonl

    Exit status: 0 done (rejected records within the budget are normal), 1 the data cannot be used, 2 a wrong
    option or configuration, 3 a plugin cannot be used, 70 a defect, 130 interrupted.
    """  # noqa: D301 - \b keeps click from joining the lines


def main(args: list[str] | None = None) -> None:
    """Run the command line; errors become one message and an exit status."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    words = sys.argv[1:] if args is None else args
    as_json = "--json" in words
    try:
        try:
            status = cli.main(args=words, prog_name="ktoformats", standalone_mode=False)
        except SystemExit as stop:
            raise RuntimeError(f"something called sys.exit({stop.code!r})") from stop
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (click.Abort, KeyboardInterrupt) as stop:
        _fail(
            f"interrupted; {str(stop) or 'nothing was published'}",
            EXIT_INTERRUPTED,
            as_json=as_json,
            kind="Interrupted",
        )
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(0)
    except click.ClickException as error:
        _fail(_click_message(error), EXIT_USAGE, as_json=as_json, kind="UsageError")
    except KtoFormatsError as error:
        status = EXIT_USAGE if isinstance(error, ConfigError) else EXIT_DATA
        status = EXIT_PLUGIN if isinstance(error, PluginError) else status
        _fail(
            str(error),
            status,
            as_json=as_json,
            kind=type(error).__name__,
            report=getattr(error, "report", None),
        )
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away; that is its right
        sys.exit(0)
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        message = f"a defect: {type(error).__name__}: {error}; {TRACEBACK_VARIABLE}=1 shows where"
        _fail(message, EXIT_DEFECT, as_json=as_json, kind="Defect")


def _click_message(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    hint = f" (see {context.command_path} --help)" if context else ""
    return " ".join(error.format_message().split()) + hint


def _fail(message: str, status: int, *, as_json: bool, kind: str, report: Any = None) -> None:
    if as_json:
        body = {"error": {"type": kind, "message": message, "exit_status": status}}
        print_json(body if report is None else body | {"report": report.to_json()})
    else:
        from rich.text import Text

        console(stderr=True).print(Text(f"error: {safe(message, 4000)}", style="red"))
    sys.exit(status)


if __name__ == "__main__":
    main()
