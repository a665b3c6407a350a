"""Whose code may run: what the deployment names, and nothing else."""

from pathlib import Path

import pytest

from stages.models import TRUST_VARIABLE, may_run_code_of, trusting

COMMIT, OTHER = "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268", "c237dc49a33fc61debc9276459120b7eac67e7ef"


@pytest.fixture(autouse=True)
def no_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRUST_VARIABLE, raising=False)


def test_nothing_is_trusted_by_default(tmp_path: Path) -> None:
    assert not may_run_code_of("nvidia/Cosmos-Embed1-224p", COMMIT)
    assert not may_run_code_of(str(tmp_path))


def test_environment_trusts_names_and_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRUST_VARIABLE, f"some/model, other/model@{COMMIT}")
    assert may_run_code_of("some/model", OTHER)
    assert may_run_code_of("other/model", COMMIT)
    assert not may_run_code_of("other/model", OTHER)
    assert not may_run_code_of("some/model-2", COMMIT)


def test_folders_are_trusted_with_what_lies_below_them(tmp_path: Path) -> None:
    trusted, outside = tmp_path / "models" / "a", tmp_path / "models-b"
    trusted.mkdir(parents=True)
    outside.mkdir()
    (tmp_path / "models" / "link").symlink_to(outside)
    with trusting([str(tmp_path / "models")]):
        assert may_run_code_of(str(trusted))
        assert may_run_code_of(str(trusted / ".." / "a"))
        assert not may_run_code_of(str(outside))
        assert not may_run_code_of(str(tmp_path / "models" / "link"))
        assert not may_run_code_of(str(trusted / ".." / ".." / "models-b"))
    assert not may_run_code_of(str(trusted))


def test_a_name_on_the_hub_is_no_folder_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with trusting(["other/model"]):
        assert not may_run_code_of("some/model")
