"""`ktoformats`: the commands, and what errors look like."""

from __future__ import annotations

import io
import os
import sys
from typing import Any, Final

import click
from click.shell_completion import shell_complete

import ktoformats
from ktoformats.cli import output
from ktoformats.cli.lazy import Entry, Lazy
from ktoformats.cli.manner import JsonLines, Manner, speaking
from ktoformats.errors import ConfigError, KtoFormatsError, PluginError

_COMMANDS: Final = {
    "cache": Entry("ktoformats.cli.cache:command", "See, check and clear what is kept between runs."),
    "completion": Entry(
        "ktoformats.cli.completion:command", "Print what makes your shell complete commands and names."
    ),
    "config": Entry("ktoformats.cli.config:command", "Make, check and describe configuration files."),
    "convert": Entry("ktoformats.cli.convert:command", "Turn preference feedback into KTO training data."),
    "demo": Entry("ktoformats.cli.demo:command", "Convert a packaged sample of every format and show the result."),
    "doctor": Entry("ktoformats.cli.doctor:command", "Look at the installation: versions, plugins, cache, extras."),
    "inspect": Entry("ktoformats.cli.inspect:command", "Look at a source: shape, format, first samples."),
    "plugin": Entry("ktoformats.cli.plugin:command", "See what is installed, check it, begin a plugin of your own."),
    "report": Entry(
        "ktoformats.cli.report:command", "Look at data before training: what would go wrong, what to do."
    ),
    "why": Entry("ktoformats.cli.why:command", "Tell the whole story of one record: what became of it, and why."),
}
EXIT_DATA, EXIT_USAGE, EXIT_PLUGIN, EXIT_DEFECT, EXIT_INTERRUPTED = 1, 2, 3, 70, 130
TRACEBACK_VARIABLE: Final = "KTOFORMATS_TRACEBACK"
COMPLETE_VARIABLE: Final = "_KTOFORMATS_COMPLETE"
_NAME: Final = "ktoformats"


@click.group(cls=Lazy, entries=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(ktoformats.__version__, prog_name="ktoformats")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors, and the JSON of --json.")
@click.option("-v", "--verbose", is_flag=True, help="Show the library's log lines, too, on standard error.")
@click.option(
    "--log-json",
    is_flag=True,
    help="Make every line on standard error one JSON object: time, level, message.",
)
@click.pass_context
def cli(ctx: click.Context, *, quiet: bool, verbose: bool, log_json: bool) -> None:
    """Any preference feedback in, KTO-ready training data out.

    \b
    Examples:
      ktoformats demo
      ktoformats inspect feedback.jsonl
      ktoformats convert feedback.jsonl -o train.jsonl
      ktoformats --quiet convert feedback.jsonl -o train.jsonl --json
      ktoformats -v --log-json convert feedback.jsonl -o train.jsonl

    The options here stand before the command. NO_COLOR=1 leaves colours out, FORCE_COLOR=1 keeps them in a pipe.

    Exit status: 0 done (rejected records within the budget are normal), 1 the data cannot be used, 2 a wrong
    option or configuration, 3 a plugin cannot be used, 70 a defect, 130 interrupted.
    """  # noqa: D301 - \b keeps click from joining the lines
    del log_json  # `main` has seen to it: errors that come before this are told in the same way
    if quiet and verbose:
        raise click.UsageError("--quiet says less and --verbose says more; give one of them", ctx)


def main(args: list[str] | None = None) -> None:
    """Run the command line; errors become one message and an exit status."""
    words = list(sys.argv[1:] if args is None else args)
    with speaking(_manner_of(words)):
        _run(words, as_json="--json" in words)


def _manner_of(words: list[str]) -> Manner:
    """The options before the command; of a line that cannot be understood those that were before the fault."""
    with cli.make_context(_NAME, list(words), resilient_parsing=True) as context:
        given = {key: bool(context.params.get(key)) for key in Manner._fields}
    return Manner(**given)


def _run(words: list[str], *, as_json: bool) -> None:
    _write_anything()
    try:
        try:
            status = _status_of(words)
        except SystemExit as stop:
            raise RuntimeError(f"something called sys.exit({stop.code!r})") from stop
        sys.exit(status)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (click.Abort, KeyboardInterrupt) as stop:
        message = f"interrupted; {str(stop) or 'nothing was published'}"
        _fail(message, EXIT_INTERRUPTED, as_json=as_json, kind="Interrupted")
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(0)
    except click.ClickException as error:
        _fail(_click_message(error), EXIT_USAGE, as_json=as_json, kind="UsageError")
    except KtoFormatsError as error:
        report = getattr(error, "report", None)
        _fail(str(error), _exit_of(error), as_json=as_json, kind=type(error).__name__, report=report)
    except BrokenPipeError:
        lines = sys.stderr
        (lines.stream if isinstance(lines, JsonLines) else lines).close()  # our reader went away; that is its right
        sys.exit(0)
    except BaseException as error:  # what says `sys.exit` itself, above, has ended
        if isinstance(error, SystemExit) or os.environ.get(TRACEBACK_VARIABLE):
            raise
        message = f"a defect: {type(error).__name__}: {error}; {TRACEBACK_VARIABLE}=1 shows where"
        _fail(message, EXIT_DEFECT, as_json=as_json, kind="Defect")


def _status_of(words: list[str]) -> int:
    """Run a command; or answer a shell that asks how a word may go on."""
    if wanted := os.environ.get(COMPLETE_VARIABLE):
        return shell_complete(cli, {}, _NAME, COMPLETE_VARIABLE, wanted)
    status = cli.main(args=words, prog_name=_NAME, standalone_mode=False)
    return status if isinstance(status, int) else 0


def _exit_of(error: KtoFormatsError) -> int:
    if isinstance(error, PluginError):
        return EXIT_PLUGIN
    return EXIT_USAGE if isinstance(error, ConfigError) else EXIT_DATA


def _write_anything() -> None:
    """Let a terminal that knows few characters show escapes for the others: an answer must not end a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _click_message(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    message = " ".join(error.format_message().split())
    if isinstance(error, click.NoSuchOption) and context is not None and context.parent is not None:
        known = [name for option in cli.params for name in option.opts]
        if (option := error.option_name) in known:
            return f"{option} stands before the command: {context.find_root().info_name} {option} {context.info_name}"
    hint = f" (see {context.command_path} --help)" if context else ""
    return message + hint


def _fail(message: str, status: int, *, as_json: bool, kind: str, report: Any = None) -> None:
    if as_json:
        body = {"error": {"type": kind, "message": message, "exit_status": status}}
        output.print_json(body if report is None else body | {"report": report.to_json()})
    else:
        output.error(message)
    sys.exit(status)


if __name__ == "__main__":
    main()
