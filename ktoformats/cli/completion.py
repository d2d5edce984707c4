"""`ktoformats completion`."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

from ktoformats.cli.output import json_option, print_json

_VARIABLE = "_KTOFORMATS_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
def command(shell: str, *, as_json: bool) -> None:
    """Print the script that makes SHELL complete commands, options, files, and the names of what is installed.

    Write it once to a file that your shell reads when it starts; nothing but this command's output is needed there:

    \b
      bash  ~/.local/share/bash-completion/completions/ktoformats
            (with the package bash-completion; else a file that ~/.bashrc sources)
      zsh   a file _ktoformats in a folder of $fpath, such as ~/.zfunc
            (with `fpath+=~/.zfunc` before `autoload -Uz compinit && compinit` in ~/.zshrc)
      fish  ~/.config/fish/completions/ktoformats.fish

    \b
    Examples:
      ktoformats completion bash > ~/.local/share/bash-completion/completions/ktoformats
      ktoformats completion zsh > ~/.zfunc/_ktoformats
      ktoformats completion fish > ~/.config/fish/completions/ktoformats.fish

    Then start a new shell. Names of formats, presets and exporters come from the installed packages' metadata; no
    plugin is imported to complete one.
    """  # noqa: D301 - \b keeps click from joining the lines
    root = click.get_current_context().find_root()
    name = root.info_name or "ktoformats"
    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"this version of click knows no completion for {shell}")
    # of the base class: bash's own first starts bash, to ask which version it is
    script = ShellComplete.source(made(root.command, {}, name, _VARIABLE))
    if as_json:
        print_json({"shell": shell, "script": script})
    else:
        click.echo(script)
