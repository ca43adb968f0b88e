"""Completion scripts that a shell can load and that know our commands."""

import shutil
import subprocess

import pytest

from headrace.api.cli.completion import command_words, script


def complete(*words: str) -> set[str]:
    """What bash offers after `headrace WORDS`."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    line = f"COMP_WORDS=(headrace {' '.join(map(repr, words))}); COMP_CWORD={len(words)}"
    program = f"{script('bash')}\n{line}; _headrace; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run([bash, "-c", program], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_bash_completes_commands_verbs_and_options() -> None:
    assert complete("top") == {"topics"}
    assert complete("topics", "cr") == {"create"}
    assert "--partitions" in complete("topics", "create", "--pa")
    assert "--group" in complete("consume", "--gr")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_is_in_every_script(shell: str) -> None:
    text = script(shell)
    missing = [key for key in command_words() if key.split()[0] not in text]
    assert not missing
