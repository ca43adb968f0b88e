"""`headrace completion SHELL`: what a shell needs to complete commands, verbs and options."""

import argparse
from collections.abc import Iterator
from typing import Any

from .common import add_command

HELP = "print a completion script for bash, zsh or fish"
EXAMPLES = """examples:
  source <(headrace completion bash)
  headrace completion zsh > ~/.zfunc/_headrace
  headrace completion fish > ~/.config/fish/completions/headrace.fish
"""

BASH = """\
_headrace() {{
    local words key
    key="${{COMP_WORDS[1]}}"
    if [ "$COMP_CWORD" -gt 2 ]; then key="$key ${{COMP_WORDS[2]}}"; fi
    case "$key" in
{cases}
    esac
    if [ "$COMP_CWORD" -eq 1 ]; then words="{commands}"; fi
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
    if [ "${{#COMPREPLY[@]}}" -eq 0 ]; then
        COMPREPLY=($(compgen -f -- "${{COMP_WORDS[COMP_CWORD]}}"))
    fi
}}
complete -F _headrace headrace
"""


def register(subparsers: Any) -> None:
    """Adds the command to the command line."""
    parser = add_command(subparsers, "completion", HELP, EXAMPLES)
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    parser.set_defaults(run=run)


def _words_of(parser: argparse.ArgumentParser) -> list[str]:
    """The options of a parser, then its verbs."""
    words = [
        option
        for action in parser._actions
        if action.help != argparse.SUPPRESS
        for option in action.option_strings
        if option.startswith("--")
    ]
    return words + [name for name, _ in _children(parser)]


def _children(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def command_words() -> dict[str, list[str]]:
    """`topics` and `topics create` -> the words that may follow."""
    from .__main__ import COMMANDS, make_parser

    table = {}
    for command in COMMANDS:
        parser = dict(_children(make_parser(command)))[command]
        table[command] = _words_of(parser)
        for verb, child in _children(parser):
            table[f"{command} {verb}"] = _words_of(child)
    return table


def script(shell: str) -> str:
    """The completion script for one shell."""
    table = command_words()
    commands = " ".join(key for key in table if " " not in key)
    if shell == "fish":
        lines = [f"complete -c headrace -n __fish_use_subcommand -xa '{commands}'"]
        for key, words in table.items():
            seen = " ".join(f"; and __fish_seen_subcommand_from {word}" for word in key.split())
            lines.append(
                f"complete -c headrace -n 'not __fish_use_subcommand{seen}' -a '{' '.join(words)}'"
            )
        return "\n".join(lines) + "\n"
    cases = [
        f'        "{key}"{"*" if " " not in key else ""}) words="{" ".join(words)}" ;;'
        for key, words in sorted(table.items(), key=lambda item: -len(item[0]))
    ]
    text = BASH.format(cases="\n".join(cases), commands=commands)
    if shell == "zsh":
        return "#compdef headrace\nautoload -U +X bashcompinit && bashcompinit\n" + text
    return text


def run(args: argparse.Namespace) -> int:
    print(script(args.shell), end="")
    return 0
