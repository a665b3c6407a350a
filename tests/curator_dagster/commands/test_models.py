"""`curator models` tells what a configuration needs, and by its exit code whether it is here."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curator_dagster.cli import app


def test_models_of_the_defaults_lie_in_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CURATOR_CONFIG", raising=False)
    result = CliRunner().invoke(app, ["models", "--json"])
    assert result.exit_code == 0, result.output
    needs = json.loads(result.stdout)
    assert [(need["phase"], need["model"], need["is_here"]) for need in needs] == [
        ("split", "transnetv2", True),
        ("embed", "efficientnet-lite0", True),
        ("caption", "efficientnet-lite0", True),
    ]
    assert all(Path(need["place"]).stat().st_size == need["size_bytes"] for need in needs)
    table = CliRunner().invoke(app, ["models"]).stdout
    assert "transnetv2" in table
    assert "29.1" in table


def test_models_refuses_a_name_that_is_none() -> None:
    result = CliRunner().invoke(app, ["models", "--set", "embed.embedder=transformer"])
    assert result.exit_code == 2
    assert "got 'transformer'. Did you mean transformers?" in result.stderr


def test_models_that_are_not_here_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    given = ["--set", "embed.embedder=transformers", "--set", "embed.model=acme/encoder"]
    unknown = CliRunner().invoke(app, ["models", *given])
    assert unknown.exit_code == 2
    assert "embed.revision must be a commit of 'acme/encoder'" in unknown.stderr
    pinned = [*given, "--set", f"embed.revision={'1' * 40}"]
    missing = CliRunner().invoke(app, ["models", *pinned])
    assert missing.exit_code == 1
    assert "not here: run curator models fetch" in missing.stdout
    fetched = CliRunner().invoke(app, ["models", "fetch", *pinned])
    assert fetched.exit_code == 2
    assert "hf download acme/encoder" in fetched.stderr
