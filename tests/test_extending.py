"""docs/extending.md as it stands: its files become a package, whose tests are run and which curates a video."""

import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from curator_dagster import Curation, RayPool, Storage, curation_definitions, plugins
from stages.manifest import read_manifest
from stages.params import PHASES
from stages.run import LaunchPolicy
from tests.test_boundaries import HEAVY, modules_after
from tests.videos import three_shots

pytestmark = pytest.mark.system

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "extending.md"
FILE = re.compile(r"^```[a-z]+\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^    ((?:python|curator) .*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder acme-video with a video of three shots, and what the page does with it."""
    return write_package(tmp_path_factory.mktemp("acme") / "acme-video")


def write_package(folder: Path) -> Path:
    """The files of the page in a folder, and a video to curate."""
    files = FILE.findall(PAGE.read_text())
    assert len(files) == PAGE.read_text().count("\n```\n"), "every block goes somewhere"
    for name, text in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "videos").mkdir()
    three_shots(folder / "videos" / "three.mp4")
    return folder


def run(package: Path, command: str) -> str:
    """What a command of the page prints; the package is on the path, as after `pip install --editable .`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER_", "CURATOR_"))}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    env["PYTHONPATH"] = f"{PROJECT}:{package / 'src'}"
    done = subprocess.run(command, shell=True, cwd=package, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def printed(package: Path) -> dict[str, str]:
    """What the commands of the page printed, by their first two words."""
    commands = COMMAND.findall(PAGE.read_text())
    return {" ".join(command.split()[:2]): run(package, command) for command in commands}


def test_tests_of_the_page_pass(printed: dict[str, str]) -> None:
    assert re.search(r"\b6 passed\b", printed["python -m"])


def test_classes_of_the_page_make_a_dataset(package: Path, printed: dict[str, str]) -> None:
    root = str(package / "curated")
    assert "Dataset:" in printed["curator run"]
    clips = read_manifest(root, "clips").to_pylist()
    assert [(clip["start_frame"], clip["end_frame"]) for clip in clips] == [(0, 75), (75, 150), (150, 225)]
    assert [(clip["start_transition"], clip["end_transition"]) for clip in clips] == [
        (None, "cut"),
        ("cut", "cut"),
        ("cut", None),
    ]
    filtered = read_manifest(root, "filtered_clips").to_pylist()
    assert all({"light_mean", "light_jump"} < set(dict(clip["scores"])) for clip in filtered)
    assert {dict(clip["thresholds"])["light_mean_min"] for clip in filtered} == {10}
    assert {row["model"] for row in read_manifest(root, "embeddings").to_pylist()} == {"acme-palette-4x4"}
    captions = [row["caption"] for row in read_manifest(root, "dataset").to_pylist() if row["status"] == "kept"]
    assert captions
    assert all(re.fullmatch(r"A moving view, mostly [a-z]+ and [a-z]+\.", caption) for caption in captions)


@pytest.fixture
def clip_list(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.AssetsDefinition]:
    monkeypatch.syspath_prepend(package / "src")
    yield importlib.import_module("acme_video.clip_list").clip_list
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_video"]:
        del sys.modules[name]


def test_asset_of_the_page_follows_the_dataset(
    package: Path, printed: dict[str, str], clip_list: dg.AssetsDefinition
) -> None:
    assert printed
    storage = Storage(root=str(package / "curated"))
    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize([clip_list], resources={"storage": storage}, instance=instance).success
    listed = [json.loads(line) for line in (package / "curated" / "clips.jsonl").read_text().splitlines()]
    assert listed
    assert all((package / "curated" / "dataset" / clip["path"]).is_file() and clip["caption"] for clip in listed)


def test_asset_of_the_page_stands_below_the_dataset_in_the_graph(package: Path, clip_list: dg.AssetsDefinition) -> None:
    curated = curation_definitions(Curation(), RayPool(), Storage(root=str(package / "curated")))
    graph = dg.Definitions.merge(curated, dg.Definitions(assets=[clip_list])).resolve_asset_graph()
    assert graph.get(dg.AssetKey("dataset")).child_keys == {dg.AssetKey("clip_list")}


def test_launches_may_name_what_the_page_configures(package: Path) -> None:
    entry_points = tomllib.loads((package / "pyproject.toml").read_text())["project"]["entry-points"]
    policy = LaunchPolicy(plugins=frozenset(entry_points["curator_dagster.plugins"].values()))
    given = yaml.safe_load((package / "curate.yaml").read_text())
    named = [name for group, values in given.items() for _, name in PHASES[group](**values).plugin_names()]
    own = [name for name in named if ":" in name]
    assert len(own) == 4
    assert all(policy.allows_plugin(name) for name in own)


def test_plugins_bring_neither_codecs_nor_models_nor_ray() -> None:
    code = (
        "import sys\nfrom curator_dagster import plugins\n"
        "assert not {'numpy', 'pyarrow', 'dagster', 'stages.filter'} & set(sys.modules), 'before a name is asked for'\n"
        "for name in plugins.__all__: getattr(plugins, name)"
    )
    assert not (HEAVY | {"ray", "dagster"}) & modules_after(code)


def test_plugins_give_what_they_declare() -> None:
    declared = {name for names in plugins._NAMES.values() for name in names}
    assert declared == set(plugins.__all__) == set(dir(plugins))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = plugins.nothing  # type: ignore[attr-defined]
