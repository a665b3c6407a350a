import json
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster.components.testing.utils import DefsFolderSandbox, create_defs_folder_sandbox
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from curator_dagster import VideoCurationComponent
from curator_dagster.watch.source import WatchParams
from stages.params import GROUPS, describe_bounds
from tests.faults.waiting import run_command
from tests.videos import noisy_video

TYPE = "curator_dagster.VideoCurationComponent"
EXAMPLE = Path(__file__).parents[2] / "docs" / "example"
DG = str(Path(sys.executable).with_name("dg"))


@pytest.fixture
def sandbox() -> Iterator[DefsFolderSandbox]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dagster's own: it loads components by what it and pydantic call beta or old
        with create_defs_folder_sandbox() as sandbox:
            yield sandbox


def add(sandbox: DefsFolderSandbox, component: type[dg.Component] = VideoCurationComponent, **attributes: Any) -> Path:
    contents = {"type": TYPE, "attributes": {"source": "in", "root": "out", **attributes}}
    return sandbox.scaffold_component(component_cls=component, defs_yaml_contents=contents)


def keys(defs: dg.Definitions) -> set[str]:
    return {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}


def test_one_file_gives_assets_checks_jobs_sensor_and_schedule(sandbox: DefsFolderSandbox) -> None:
    add(sandbox)
    with sandbox.build_all_defs() as defs:
        assert len(keys(defs)) == 7
        for job in ("curate", "find_videos"):
            assert defs.resolve_job_def(job)
        assert defs.resolve_sensor_def("new_videos").minimum_interval_seconds == 60
        assert defs.resolve_schedule_def("new_videos_on_schedule").cron_schedule == "0 * * * *"
        checks = {key.asset_key.to_user_string() for key in defs.resolve_asset_graph().asset_check_keys}
        assert checks == keys(defs)


def test_two_instances_stand_side_by_side(sandbox: DefsFolderSandbox) -> None:
    add(sandbox, name="films")
    add(sandbox, name="shows_2", pools={"embed": "gpu"}, owners=["me@example.com"], tags={"tier": "gold"})
    with sandbox.build_all_defs() as defs:
        assert {"films/clips", "shows_2/clips"} < keys(defs)
        assert {job.name for job in defs.jobs or []} >= {"films_curate", "shows_2_curate"}
        node = defs.resolve_asset_graph().get(dg.AssetKey(["shows_2", "embeddings"]))
        assert (node.pools, node.owners, node.group_name) == ({"gpu"}, ("me@example.com",), "shows_2")


@pytest.mark.parametrize("given", [{}, {"name": "shows", "source": "s3://a/in", "root": "s3://a/out"}])
def test_scaffolder_writes_a_file_that_loads(sandbox: DefsFolderSandbox, given: dict[str, str]) -> None:
    path = sandbox.scaffold_component(component_cls=VideoCurationComponent, scaffold_params=given)
    written = yaml.safe_load((path / "defs.yaml").read_text())
    assert written["attributes"] == {"source": "videos", "root": "curated", **given}
    with sandbox.load_component_and_build_defs(defs_path=path) as (component, _):
        assert isinstance(component, VideoCurationComponent)
        assert component.name == given.get("name", "")


def test_values_and_templates_of_the_file_reach_the_parameters(
    sandbox: DefsFolderSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPT", "What happens?")
    given: dict[str, Any] = {"split": {"threshold": 0.3}, "watch": {"settle_s": 5}, "trust": ["/models/encoder"]}
    path = add(sandbox, caption={"prompt": "{{ env.PROMPT }}"}, **given)
    with sandbox.load_component_and_build_defs(defs_path=path) as (component, defs):
        assert isinstance(component, VideoCurationComponent)
        assert component.split.threshold == 0.3
        assert component.curation.trust == ("/models/encoder",)
        assert component.curation.params["caption"].model_dump()["prompt"] == "What happens?"
        resources = defs.resources or {}
        assert resources["source"].settle_s == 5
        assert resources["storage"].root == str(sandbox.project_root / "out")


def test_relative_source_is_named_without_detours(sandbox: DefsFolderSandbox) -> None:
    path = sandbox.scaffold_component(
        component_cls=VideoCurationComponent, scaffold_params={"source": "../videos", "root": "./out"}
    )
    with sandbox.load_component_and_build_defs(defs_path=path) as (_, defs):
        resources = defs.resources or {}
        assert resources["source"].location == str(sandbox.project_root.parent / "videos")
        assert resources["storage"].root == str(sandbox.project_root / "out")


class Renamed(VideoCurationComponent):
    """Says otherwise how its assets stand in the graph."""

    def get_asset_spec(self, asset: str) -> dg.AssetSpec:
        spec = super().get_asset_spec(asset)
        deps = [dg.AssetKey(["lake", *dep.asset_key.path]) for dep in spec.deps]
        return spec.replace_attributes(key=dg.AssetKey(["lake", asset]), deps=deps).merge_attributes(tags={"mine": "1"})


def test_specs_may_be_overridden(tmp_path: Path) -> None:
    component = Renamed(source="in", root=str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        defs = component.build_defs(dg.ComponentTree.for_test().load_context)
    graph = defs.resolve_asset_graph()
    assert graph.get(dg.AssetKey(["lake", "dataset"])).tags["mine"] == "1"
    assert dg.AssetKey(["lake", "clips"]) in graph.get(dg.AssetKey(["lake", "filtered_clips"])).parent_keys


def test_schema_of_the_file_says_bounds_and_meanings() -> None:
    model_of_file = VideoCurationComponent.get_model_cls()
    assert model_of_file is not None
    schema = model_of_file.model_json_schema()
    for group, model in {**GROUPS, "watch": WatchParams}.items():
        stated = schema["properties"][group]["properties"]
        assert stated == model.model_json_schema()["properties"], group
    assert describe_bounds(schema["properties"]["split"]["properties"]["threshold"]) == "0 < number < 1"
    json.dumps(schema)


@pytest.mark.parametrize(
    ("attributes", "path", "message"),
    [
        ({"split": {"threshold": 3}}, ["split", "threshold"], "3 is greater than or equal to the maximum of 1"),
        ({"split": {"treshold": 0.3}}, ["split", "treshold"], "'did you mean split.threshold?' was expected"),
        ({"dedup": {"esp": 0.3}}, ["dedup", "esp"], "'did you mean dedup.eps?' was expected"),
        ({"watch": {"setle_s": 3}}, ["watch", "setle_s"], "'did you mean watch.settle_s?' was expected"),
        ({"split": {"colour": 1}}, ["split", "colour"], "'a name among max_failed_fraction, retry_reasons, "),
        ({"splt": {"threshold": 0.3}}, ["splt"], "'did you mean split?' was expected"),
        ({"colours": 3}, ["colours"], "'a name among name, source, root, read, "),
    ],
)
def test_schema_names_the_line_and_the_parameter_that_is_meant(
    attributes: dict[str, Any], path: list[str], message: str
) -> None:
    model_of_file = VideoCurationComponent.get_model_cls()
    assert model_of_file is not None
    validator = Draft202012Validator(model_of_file.model_json_schema())
    (error,) = validator.iter_errors({"source": "in", "root": "out", **attributes})
    assert list(error.absolute_path) == path
    assert message in error.message


def test_schema_admits_every_parameter_and_a_template() -> None:
    model_of_file = VideoCurationComponent.get_model_cls()
    assert model_of_file is not None
    validator = Draft202012Validator(model_of_file.model_json_schema())
    groups = {name: model().model_dump(mode="json") for name, model in {**GROUPS, "watch": WatchParams}.items()}
    assert list(validator.iter_errors({"source": "in", "root": "out", **groups})) == []
    assert list(validator.iter_errors({"source": "in", "root": "out", "split": "{{ env.SPLIT }}"})) == []


@pytest.mark.parametrize(
    ("attributes", "lines"),
    [
        (
            {"split": {"crop_s": 0, "threshold": 3, "treshold": 0.3}, "write": {"mode": "cpy"}},
            [
                ("    threshold: 3", "split.threshold: Input should be less than 1, got 3."),
                ("    treshold: 0.3", "split.treshold is no parameter. Did you mean split.threshold?"),
                ("    mode: cpy", "write.mode: Input should be 'auto', 'copy', 'smart' or 'encode', got 'cpy'."),
            ],
        ),
        (
            {"split": {"min_length_s": 20}},
            [("  split:", "split: min_length_s must be at most max_length_s, got 20.0 > 10.0.")],
        ),
        ({"split": 3}, [("  split: 3", "split: Input should be a valid dictionary")]),
        ({"partitioning": "daily"}, [("  partitioning: daily", "partitioning=daily requires windows")]),
        ({"pools": {"embd": "gpu"}}, [("    embd: gpu", "pools must be for some of read")]),
        ({"fresh_within_hours": {"clips": 0.001}}, [("    clips: 0.001", "fresh_within_hours of clips must be")]),
        ({"filter": {"filters": ["size", "motoin"]}}, [("    - motoin", "got 'motoin'. Did you mean motion?")]),
        ({"split": {"method": "nowhere:Cutter"}}, [("    method: nowhere:Cutter", "on PYTHONPATH.")]),
        (
            {"filter": {"filters": ["size"], "custom": [{"filter": "my.one:Filter"}]}},
            [("    - filter: my.one:Filter", "filter.custom must hold 'filter'")],
        ),
        (
            {"embed": {"embedder": "transformers", "model": "no/model", "revision": "draft"}},
            [("    revision: draft", "embed.revision must be a commit of 'no/model'")],
        ),
        (
            {"caption": {"captioner": "openai", "prompt": "Tell 'openai'."}},
            [("  caption:", "caption.model must be the name of a model")],
        ),
        ({"dedup": {"rank_by": ["foo"]}}, [("    rank_by:", "got 'foo'.")]),
        (
            {"partitioning": "dayly", "automated": "perhaps"},
            [
                ("  partitioning: dayly", "attributes.partitioning: Input should be 'batch', 'daily' or 'hourly', got"),
                ("  automated: perhaps", "attributes.automated: Input should be a valid boolean"),
            ],
        ),
        (
            {"embed": {"more": [{"name": "wide", "frames_perclip": 4}]}},
            [
                (
                    "  embed:",
                    "embed: more[wide].frames_perclip is no parameter. Did you mean more[wide].frames_per_clip?",
                )
            ],
        ),
        ({"filter": {"filters": ["motion_vectors"]}}, [("    - motion_vectors", "requires vectors in split.signals")]),
    ],
)
def test_check_of_definitions_names_file_line_value_and_rule(
    sandbox: DefsFolderSandbox,
    monkeypatch: pytest.MonkeyPatch,
    attributes: dict[str, Any],
    lines: list[tuple[str, str]],
) -> None:
    """As `dg check defs` loads them, without the JSON schema before."""
    monkeypatch.setenv("DAGSTER_IS_DEFS_VALIDATION_CLI", "1")
    path = add(sandbox, **attributes)
    with pytest.raises(Exception, match="Error while loading component") as raised:  # noqa: SIM117
        with sandbox.load_component_and_build_defs(defs_path=path):
            pass
    problems = [line for line in str(raised.value.__cause__).splitlines() if "defs.yaml:" in line]
    numbers = {line: number for number, line in enumerate((path / "defs.yaml").read_text().splitlines(), start=1)}
    assert len(problems) == len(lines)
    for problem, (line, message) in zip(problems, lines, strict=True):
        assert f"defs.yaml:{numbers[line]}" in problem
        assert message in problem


def test_a_class_that_is_not_there_does_not_keep_the_web_server_from_loading(sandbox: DefsFolderSandbox) -> None:
    path = add(sandbox, split={"method": "nowhere:Cutter"})
    with sandbox.load_component_and_build_defs(defs_path=path) as (_, defs):
        assert len(keys(defs)) == 7


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"split": {"threshold": 3}}, "less than 1"),
        ({"split": {"treshold": 0.3}}, "Extra inputs are not permitted"),
        ({"name": "my films"}, "should match pattern"),
        ({"partitioning": "weekly"}, "'batch', 'daily' or 'hourly'"),
    ],
)
def test_component_rejects_what_no_parameter_allows(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        VideoCurationComponent(source="in", root="out", **attributes)


def test_component_rejects_days_without_saying_where_paths_name_them() -> None:
    with pytest.raises(ValueError, match="partitioning=daily requires windows"):
        _ = VideoCurationComponent(source="in", root="out", partitioning="daily").curation


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The example project, in which there is a package called `stages` too."""
    project = tmp_path / "example"
    shutil.copytree(EXAMPLE, project)
    (project / "stages").mkdir()
    (project / "stages" / "__init__.py").touch()
    (project / "stages" / "errors.py").write_text("THEIRS = 1\n")
    (project / "stages" / "lights.py").write_text("COUNT = 3\n")
    definitions = project / "src" / "film_clips" / "definitions.py"
    definitions.write_text(f"{definitions.read_text()}\n\nfrom stages.lights import COUNT  # noqa: E402\n")
    return project


def dg_command(project: Path, *words: str) -> str:
    home = project / ".dagster"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    path = os.pathsep.join([str(project), str(project / "src")])
    done = run_command([DG, *words], cwd=project, env={**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": path})
    return done.stdout + done.stderr


@pytest.mark.system
def test_example_project_loads_beside_a_package_called_stages(project: Path) -> None:
    assert "All definitions loaded successfully" in dg_command(project, "check", "defs")


@pytest.mark.long
def test_example_project_makes_a_dataset(project: Path) -> None:
    (project / "videos").mkdir()
    video = noisy_video(project / "videos" / "a.mp4", 75)
    os.utime(video, (0, 0))
    listed = dg_command(project, "list", "defs", "--json")
    assert {asset["asset_key"] for asset in json.loads(listed[listed.index("{") :])["assets"]} >= {"videos", "dataset"}
    dg_command(project, "launch", "--job", "find_videos")
    (members,) = (project / "curated" / "partitions").glob("*.parquet")
    dg_command(project, "launch", "--assets", "*", "--partition", members.stem)
    assert list((project / "curated" / "manifests" / "dataset" / members.stem).rglob("1.json"))
