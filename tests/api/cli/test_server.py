"""`headrace server`: what is refused before a broker is built."""

from pathlib import Path

import pytest

from headrace.api.cli.__main__ import main


def test_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "server.properties"
    assert main(["server", "start", str(path)]) == 1
    assert f"{path} cannot be read" in capsys.readouterr().err


def test_bad_setting_is_a_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "server.properties"
    path.write_text("num.partitions=none\n")
    assert main(["server", "start", str(path)]) == 2
    assert "num.partitions=none" in capsys.readouterr().err


def test_override_needs_a_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "server.properties"
    path.write_text("")
    assert main(["server", "start", str(path), "--override", "num.partitions"]) == 2
    assert "give NAME=VALUE" in capsys.readouterr().err


def test_stop_without_a_holder_says_which_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["server", "stop", "--data", str(tmp_path)]) == 1
    assert f"nobody holds {tmp_path}" in capsys.readouterr().err
