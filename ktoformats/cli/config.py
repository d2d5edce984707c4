"""`ktoformats config`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from ktoformats.cli import output
from ktoformats.cli.lazy import Suggesting
from ktoformats.cli.output import json_option
from ktoformats.config.models import KTOConfig
from ktoformats.config.schema import json_schema
from ktoformats.convert.assemble import assemble
from ktoformats.errors import ConfigError
from ktoformats.plugin.registry import Registry

STARTER: Final = """\
# A ktoformats configuration. `ktoformats config check FILE` validates it; `ktoformats config schema` lists every
# field. Fields that are not written keep their defaults.
model:
  model_name: ""                  # for AutoTokenizer.from_pretrained, in your training script
data:
  train_file: data/train.jsonl    # a path, a list of paths, or a glob
  # validation_file: data/validation.jsonl
  # label_column: feedback        # what your columns are called
  # response_column: answer
  formats: [default]              # the first-party formats; or name exactly the ones you want
  # scales:
  #   rating: {low: 1, high: 10, good_from: 8, bad_to: 4}
  balance_labels: true            # for the train split; the report shows what it costs
  random_seed: 42
"""


@click.group(cls=Suggesting)
def command() -> None:
    """Make, check and describe configuration files.

    \b
    Examples:
      ktoformats config init kto.yaml
      ktoformats config check kto.yaml
    """  # noqa: D301 - \b keeps click from joining the lines


@command.command("init")
@click.argument("path", type=click.Path(path_type=Path), default=Path("kto.yaml"))
@click.option("--force", is_flag=True, help="Replace an existing file.")
@json_option
def init(path: Path, *, force: bool, as_json: bool) -> None:
    """Write a commented starting point to PATH (default: kto.yaml).

    \b
    Examples:
      ktoformats config init
      ktoformats config init train.yaml --force
    """  # noqa: D301 - \b keeps click from joining the lines
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(STARTER)
    except FileExistsError:
        raise ConfigError(f"{path} exists; --force replaces it") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error
    if as_json:
        output.print_json({"written": str(path)})
    else:
        output.say(f"wrote {output.safe(path)}; edit it, then: ktoformats config check {output.safe(path)}")


@command.command("check")
@click.argument("path", type=click.Path(path_type=Path))
@json_option
def check(path: Path, *, as_json: bool) -> None:
    """Validate a configuration file and load the plugins it names.

    \b
    Examples:
      ktoformats config check kto.yaml
      ktoformats config check kto.yaml --json

    Exit status: 0 it is valid, 2 something in it is wrong, 3 a plugin that it names cannot be used.
    """  # noqa: D301 - \b keeps click from joining the lines
    config = KTOConfig.from_yaml(path)
    assembly = assemble(config.data, Registry())
    if as_json:
        output.print_json({"path": str(path), "valid": True, "plugins": assembly.plugins})
        return
    rows = [(kind, name, owner) for kind, owners in assembly.plugins.items() for name, owner in owners.items()]
    output.table(f"{output.safe(path)} is valid; it uses", ("kind", "name", "from"), rows)


@command.command("schema")
@json_option
def schema(*, as_json: bool) -> None:
    """Print the JSON Schema of a configuration file, with the options of every installed plugin.

    \b
    Examples:
      ktoformats config schema > kto.schema.json
    """  # noqa: D301 - \b keeps click from joining the lines
    del as_json  # the schema is JSON either way
    made, failures = json_schema(Registry())
    for failure in failures:
        output.warn(failure)
    output.print_json(made)
