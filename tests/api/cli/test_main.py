"""The command line as a whole: help, versions, exit codes, and what is not imported."""

import argparse
import json
import subprocess
import sys
from typing import Any

import pytest

from headrace import __version__
from headrace.api.cli.__main__ import COMMANDS, main, make_parser


def test_version_in_words_and_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith(f"headrace {__version__} (")
    assert main(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == __version__
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"headrace {__version__} (")


def test_no_command_prints_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)


def test_unknown_command_is_a_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["upp"])
    assert caught.value.code == 2
    assert "upp" in capsys.readouterr().err


def test_help_before_a_command_tells_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help", "version"])
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)


def test_a_command_makes_no_parser_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str | None] = []
    init = argparse.ArgumentParser.__init__

    def note(parser: argparse.ArgumentParser, **options: Any) -> None:
        made.append(options.get("prog"))
        init(parser, **options)

    monkeypatch.setattr(argparse.ArgumentParser, "__init__", note)
    assert main(["version"]) == 0
    assert made == ["headrace", "headrace version"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_registers_itself_with_a_run(command: str) -> None:
    parser = make_parser(command)
    with pytest.raises(SystemExit) as caught:
        parser.parse_args([command, "--help"])
    assert caught.value.code == 0


@pytest.mark.parametrize("words", [["version"], ["up", "--topic", "bad:0"]])
def test_commands_without_a_broker_import_none_of_it(words: list[str]) -> None:
    code = (
        "import sys\n"
        "from headrace.api.cli.__main__ import main\n"
        f"main({words!r})\n"
        "heavy = {'asyncio', 'numpy', 'uvloop', 'confluent_kafka', 'logging'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
