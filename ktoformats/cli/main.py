"""`ktoformats`: the commands, and what errors look like."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import Any, Final

import click

import ktoformats
from ktoformats.cli.output import console, print_json, safe
from ktoformats.errors import ConfigError, KtoFormatsError, PluginError

_COMMANDS: Final = {
    "config": ("ktoformats.cli.config", "Make, check and describe configuration files."),
    "convert": ("ktoformats.cli.convert", "Turn preference feedback into KTO training data."),
    "demo": ("ktoformats.cli.demo", "Convert a packaged sample of every format and show the result."),
    "inspect": ("ktoformats.cli.inspect", "Look at a source: shape, format, first samples."),
    "plugin": ("ktoformats.cli.plugin", "See what is installed, check it, begin a plugin of your own."),
}
EXIT_DATA, EXIT_USAGE, EXIT_PLUGIN, EXIT_DEFECT, EXIT_INTERRUPTED = 1, 2, 3, 70, 130
TRACEBACK_VARIABLE: Final = "KTOFORMATS_TRACEBACK"


class _Lazy(click.Group):
    """Imports a command's module when it is named, so that every command starts quickly."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        del ctx
        command: click.Command = import_module(_COMMANDS[name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(_COMMANDS.items())])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from ktoformats.plugin.faults import suggest

            raise click.UsageError(error.message.rstrip(".") + suggest(args[0], _COMMANDS), ctx) from error


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
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
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted; nothing was published", EXIT_INTERRUPTED, as_json=as_json, kind="Interrupted")
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
    return error.format_message() + hint


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
