"""Wheel and source distribution hold what they should, and the demo runs on what they install."""

import email
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.packaging.distributions import (
    PACKAGES,
    PROJECT,
    Distributions,
    build,
    copy_checkout,
    package_files,
    sdist_files,
    wheel_files,
)
from tests.packaging.fresh_venv import FreshVenv

pytestmark = pytest.mark.packaging
DEMO = {
    "read": [4, 0, 0, 0, 0, 4],
    "split": [8, 0, 0, 0, 0, 4],
    "filter": [8, 0, 0, 0, 0, 8],
    "embed": [8, 0, 0, 0, 0, 8],
    "caption": [8, 0, 0, 0, 0, 8],
    "dedup": [7, 1, 0, 0, 0, 1],
    "write": [7, 0, 0, 0, 0, 7],
}
"""Rows kept, rejected, failed, reused, redecided, computed of each phase, as README.md shows them."""
_PHASE = re.compile(r"^ *([a-z]+)((?: +\d+){6}) +[\d.]+ *$", re.MULTILINE)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    folder = tmp_path_factory.mktemp("distributions")
    checkout = copy_checkout(folder / "checkout")
    return Distributions(
        checkout=checkout,
        wheel=build(checkout, folder / "wheel", "--wheel"),
        sdist=build(checkout, folder / "sdist", "--sdist"),
    )


@pytest.fixture
def fresh(tmp_path: Path) -> FreshVenv:
    return FreshVenv(tmp_path)


def test_wheel_holds_every_file_of_the_packages_and_the_license(distributions: Distributions) -> None:
    files = wheel_files(distributions.wheel)
    info = {name: files.pop(name) for name in list(files) if ".dist-info/" in name}
    _check_packages(files, distributions.checkout)
    assert {name.partition("/")[2] for name in info} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
        "top_level.txt",
    }
    [text] = [text for name, text in info.items() if name.endswith("/LICENSE")]
    assert text == (PROJECT / "LICENSE").read_bytes()
    [metadata] = [email.message_from_bytes(text) for name, text in info.items() if name.endswith("/METADATA")]
    assert (metadata["License-Expression"], metadata["License-File"]) == ("Apache-2.0", "LICENSE")


def test_sdist_holds_what_the_wheel_is_built_from_and_no_tests(distributions: Distributions) -> None:
    files = sdist_files(distributions.sdist)
    packages = {name: data for name, data in files.items() if name.startswith(tuple(f"{name}/" for name in PACKAGES))}
    _check_packages(packages, distributions.checkout)
    assert {name for name in files if name not in packages and ".egg-info/" not in name} == {
        "LICENSE",
        "MANIFEST.in",
        "PKG-INFO",
        "README.md",
        "pyproject.toml",
        "setup.cfg",
    }


def test_sdist_builds_the_same_wheel_as_the_checkout(distributions: Distributions, tmp_path: Path) -> None:
    for name, data in sdist_files(distributions.sdist).items():
        file = tmp_path / "unpacked" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    rebuilt = build(tmp_path / "unpacked", tmp_path / "wheel", "--wheel")
    assert wheel_files(rebuilt) == wheel_files(distributions.wheel)


@pytest.mark.timeout(600)
def test_wheel_in_a_fresh_venv_runs_the_demo(distributions: Distributions, fresh: FreshVenv) -> None:
    """Its dependencies are those of the environment that runs the tests; nothing is downloaded."""
    fresh.add_dependencies_of_this_environment()
    assert fresh.module_files(*PACKAGES) == ["None", "None"]
    fresh.python("-m", "pip", "install", "--no-index", "--no-deps", "--ignore-installed", distributions.wheel)
    _check_demo(fresh)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_distribution_and_its_dependencies_run_the_demo(
    distributions: Distributions, fresh: FreshVenv, kind: str
) -> None:
    """pip installs all that it needs from the registry, and builds the sdist in an environment of its own."""
    distribution = getattr(distributions, kind)
    fresh.python("-m", "ensurepip")
    constraints = ["--constraint", PROJECT / "constraints.txt"]
    fresh.python("-m", "pip", "install", "--quiet", *constraints, f"{distribution}[demo]")
    assert "No broken requirements" in fresh.python("-m", "pip", "check")
    _check_demo(fresh)


def _check_packages(files: dict[str, bytes], checkout: Path) -> None:
    expected = package_files(checkout)
    assert sorted(files) == sorted(expected)
    assert [name for name, data in files.items() if data != expected[name]] == []


def _check_demo(fresh: FreshVenv) -> None:
    assert all(Path(origin).is_relative_to(fresh.folder) for origin in fresh.module_files(*PACKAGES))
    printed = fresh.demo()
    counts = {phase: [int(count) for count in given.split()] for phase, given in _PHASE.findall(printed)}
    assert counts == DEMO, printed
    dataset = fresh.work / "root" / "dataset"
    clips = [clip for table in (dataset / "index").glob("*.parquet") for clip in pq.read_table(table).to_pylist()]
    assert len(clips) == 7
    assert len(list(dataset.rglob("*.mp4"))) == 7
    fresh.curator("report", "root")
    assert "<script" in (fresh.work / "root" / "report.html").read_text()
