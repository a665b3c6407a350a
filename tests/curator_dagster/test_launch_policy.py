"""A launch runs no code but that of modules which the deployment allows; a person at the command line is not bound."""

import importlib.metadata
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from curator_dagster.config import validate_run_config
from curator_dagster.curation import Curation
from curator_dagster.definitions import curation_definitions
from curator_dagster.launch_policy import check_stored_caption_url, launch_policy
from curator_dagster.resources import Storage
from stages.errors import ParamsError
from stages.params import CAPTION_API_KEY_VARIABLE, CaptionParams, ExecutorParams, FilterParams
from stages.run import Session
from tests.curator_dagster.conftest import QUIET

OWN = "tests.stages.filter.custom_filter:WarmthFilter"
OWN_CONFIG = {"filters": [OWN, "size"], "custom": [{"filter": OWN, "warmth_min": 1.0}]}


def run_config(**values: Any) -> dict[str, Any]:
    return {"ops": {asset: {"config": config} for asset, config in values.items()}}


def harmful(mark: Path) -> dict[str, dict[str, Any]]:
    """By asset, parameters that would create the file if a class that they name were called, or its module imported."""
    (mark.parent / "evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass Filter: pass\n")
    command = {"filter": "subprocess:Popen", "args": ["touch", str(mark)]}
    return {
        "popen": {"filtered_clips": {"filters": ["subprocess:Popen"], "custom": [command]}},
        "import": {"filtered_clips": {"filters": ["evil:Filter"]}},
        "splitter": {"clips": {"method": "evil:Filter"}},
        "detector": {"clips": {"detector": "evil:Filter"}},
        "embedder": {"embeddings": {"embedder": "evil:Filter"}},
        "captioner": {"captions": {"captioner": "evil:Filter"}},
    }


@pytest.mark.parametrize("kind", ["popen", "import", "splitter", "detector", "embedder", "captioner"])
def test_launch_that_names_other_code_runs_none_of_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    config = harmful(mark)[kind]
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ParamsError, match="only from modules that the deployment allows"):
        validate_run_config(Curation(), run_config(**config), str(tmp_path / "root"))
    assert not mark.exists()


def test_step_of_a_launch_refuses_other_code(
    session: Session, storage: Storage, instance: dg.DagsterInstance, partitions: list[str], tmp_path: Path
) -> None:
    job = curation_definitions(Curation(), session, storage).resolve_job_def("curate")
    config = run_config(**harmful(tmp_path / "mark")["popen"])
    result = job.execute_in_process(
        instance=instance, run_config={**QUIET, **config}, partition_key=partitions[0], raise_on_error=False
    )
    failure = result.failure_data_for_node("videos")
    assert failure is not None
    assert "got 'subprocess:Popen'. Allowed are none." in str(failure.user_failure_data or failure.error)
    assert not (tmp_path / "mark").exists()


def test_class_is_checked_before_it_is_constructed(tmp_path: Path) -> None:
    """Also for the person at the command line, who may have mistyped."""
    config = run_config(**harmful(tmp_path / "mark")["popen"])
    with pytest.raises(ParamsError, match="'subprocess:Popen' is a class without identity, setup, score"):
        validate_run_config(Curation(is_trusted=True), config, str(tmp_path / "root"))
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["os:system", "builtins:eval", "json:decoder"])
def test_what_is_no_class_is_not_called(name: str, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="must be a class with the methods"):
        validate_run_config(Curation(is_trusted=True), run_config(filtered_clips={"filters": [name]}), str(tmp_path))


@pytest.mark.parametrize("allowed", ["tests.stages.filter", OWN, "other, tests.stages.filter.custom_filter"])
def test_environment_allows_modules(allowed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = run_config(filtered_clips=OWN_CONFIG)
    with pytest.raises(ParamsError, match="only from modules"):
        validate_run_config(Curation(), config, str(tmp_path))
    monkeypatch.setenv("CURATOR_PLUGINS", allowed)
    validate_run_config(Curation(), config, str(tmp_path))


def test_curation_allows_its_plugins_and_what_its_own_defaults_name(tmp_path: Path) -> None:
    config = run_config(filtered_clips=OWN_CONFIG)
    validate_run_config(Curation(plugins=("tests",)), config, str(tmp_path))
    defaults = {**Curation().params, "filter": FilterParams(**OWN_CONFIG)}
    validate_run_config(Curation(params=defaults), config, str(tmp_path))


def test_installed_package_allows_its_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[curator_dagster.plugins]\noverlay = acme.filters\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert [each.value for each in importlib.metadata.entry_points(group="curator_dagster.plugins")] == ["acme.filters"]
    assert launch_policy(Curation()).allows_plugin("acme.filters.text:Overlay")


@pytest.mark.parametrize("name", ["CURATOR_CAPTION_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "pg_password"])
@pytest.mark.parametrize("place", ["captions", "clips", "filtered_clips"])
def test_launch_takes_no_parameter_from_a_secret(
    name: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "hidden words")
    value = {"env": name}
    configs = {
        "captions": {"prompt": value},
        "clips": {"method": value},
        "filtered_clips": {"filters": ["size", value], "custom": [{"filter": "size", "x": value}]},
    }
    with pytest.raises(ParamsError, match=f"may hold a secret, got {name}") as caught:
        validate_run_config(Curation(), run_config(**{place: configs[place]}), str(tmp_path))
    assert "hidden words" not in str(caught.value)


def test_launch_joins_only_a_ray_that_the_deployment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def config(address: Any) -> dict[str, Any]:
        return {"resources": {"ray_pool": {"config": {"address": address, "num_workers": 2}}}}

    validate_run_config(Curation(), config("local"), str(tmp_path))
    validate_run_config(Curation(executor=ExecutorParams(address="ray:6379")), config("ray:6379"), str(tmp_path))
    for address in ("ray://evil.example:10001", "auto", {"env": "HOME"}):
        with pytest.raises(ParamsError, match="a launch may join only a Ray that the deployment names"):
            validate_run_config(Curation(), config(address), str(tmp_path))
    monkeypatch.setenv("CURATOR_RAY_ADDRESSES", "auto, other:6379")
    validate_run_config(Curation(), config("auto"), str(tmp_path))
    validate_run_config(Curation(is_trusted=True), config("ray://any.example:10001"), str(tmp_path))


def test_retry_sends_a_persons_key_to_no_host_that_a_launch_named(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = CaptionParams(captioner="openai", model="m", base_url="https://evil.example/v1")
    monkeypatch.delenv(CAPTION_API_KEY_VARIABLE, raising=False)
    check_stored_caption_url(stored)
    monkeypatch.setenv(CAPTION_API_KEY_VARIABLE, "secret")
    with pytest.raises(ParamsError, match=r"Confirm it with --set caption\.base_url=https://evil\.example/v1"):
        check_stored_caption_url(stored)
    monkeypatch.setenv("CURATOR_CAPTION_HOSTS", "evil.example")
    check_stored_caption_url(stored)


def test_launch_sends_the_key_to_the_hosts_of_the_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(url: str) -> CaptionParams:
        return CaptionParams(captioner="openai", model="m", base_url=url)

    monkeypatch.setenv(CAPTION_API_KEY_VARIABLE, "secret")
    monkeypatch.setenv("CURATOR_CAPTION_HOSTS", "one.example, two.example:8000")
    own = Curation(params={**Curation().params, "caption": asked("https://own.example/v1")})
    policy = launch_policy(own)
    urls = ["https://one.example/v1", "http://two.example:8000/v1", "https://own.example/v2", "http://localhost:9/v1"]
    policy.check(map(asked, urls))
    with pytest.raises(ParamsError, match=r"got 'https://evil\.example/v1'"):
        policy.check([asked("https://evil.example/v1")])
