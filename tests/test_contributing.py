"""The recipes of CONTRIBUTING.md, each done as it says, in a copy of the project.

A block of code there begins with the place that it goes to: ``# path`` for a new file, ``# path, in NAME`` for lines at
the end of a class, dict or tuple, ``# path, imports`` for lines among the imports.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stages.manifest import read_manifest
from tests.videos import three_shots

PROJECT = Path(__file__).parents[1]
COPIED = ("stages", "curator_dagster", "docs", "tests", "pyproject.toml", "CHANGELOG.md")
pytestmark = pytest.mark.packaging
BLOCK = re.compile(r"^ *```python\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks_of(recipe: str) -> list[str]:
    """The blocks of code under a heading, without the indentation of the list that they stand in."""
    text = (PROJECT / "CONTRIBUTING.md").read_text()
    (section,) = [part for part in text.split("\n## ") if part.startswith(recipe)]
    return [re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in BLOCK.findall(section)]


def apply(block: str, project: Path) -> None:
    """Put a block where its first line says."""
    head, _, code = block.partition("\n")
    path, _, place = head.removeprefix("# ").partition(", ")
    file = project / path
    if not place:
        assert not file.exists(), f"{path} is to be new"
        file.write_text(code)
        return
    lines = file.read_text().splitlines(keepends=True)
    lines.insert(_line_of(place, ast.parse("".join(lines)).body), code)
    file.write_text("".join(lines))


def _line_of(place: str, body: list[ast.stmt]) -> int:
    """Number of lines above the place."""
    if place == "imports":
        return max(node.end_lineno or 0 for node in body if isinstance(node, ast.ImportFrom))
    name = place.removeprefix("in ")
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return max(field.end_lineno or 0 for field in node.body if isinstance(field, ast.AnnAssign))
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == name:
            return (node.end_lineno or 0) - 1
    raise AssertionError(f"nothing is called {name}")


class Copy:
    """A copy of the project in which recipes were followed."""

    def __init__(self, folder: Path, *recipes: str) -> None:
        self.folder = folder
        for name in COPIED:
            copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
            copy(PROJECT / name, folder / name)
        for recipe in recipes:
            for block in blocks_of(recipe):
                apply(block, folder)

    def run(self, *command: str) -> str:
        """What a command of the project prints; it must succeed, and takes the copy's code."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER_", "CURATOR_"))}
        env["PYTHONPATH"] = str(self.folder)
        done = subprocess.run(
            [sys.executable, *command], cwd=self.folder, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def curate(self, source: Path, root: Path, *settings: str, until: str) -> str:
        """`curator run` on a folder up to an asset, in one process."""
        given = [part for setting in ("executor.mode=local", *settings) for part in ("--set", setting)]
        code = "from curator_dagster.cli import main; main()"
        return self.run("-c", code, "run", str(source), "--root", str(root), "--until", until, *given)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    three_shots(folder / "three.mp4")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def test_a_filter_made_by_the_recipe_scores_and_rejects(project: Path, source: Path, tmp_path: Path) -> None:
    copy = Copy(project, "A filter")
    copy.run("docs/generate.py")
    assert "`filter.saturation_min`" in (project / "docs" / "reference.md").read_text()
    root = tmp_path / "root"
    settings = ("split.method=fixed_stride", "split.clip_length_s=3", "filter.filters=[size,saturation]")
    copy.curate(source, root, *settings, until="filtered_clips")
    clips = read_manifest(str(root), "filtered_clips").to_pylist()
    scores = [dict(clip["scores"])["saturation"] for clip in clips]
    assert len(scores) == 3
    assert all(0 < score < 1 for score in scores)
    between = (min(scores) + max(scores)) / 2
    printed = copy.curate(source, root, *settings, f"filter.saturation_min={between}", until="filtered_clips")
    rejected = [clip for clip in read_manifest(str(root), "filtered_clips").to_pylist() if clip["status"] == "rejected"]
    assert len(rejected) == sum(score < between for score in scores)
    assert {clip["reason"] for clip in rejected} == {"saturation"}
    assert re.search(r"filter +\d+ +\d+ +0 +\d+ +3 +0 ", printed), "decided again, not scored again"


def test_a_check_made_by_the_recipe_is_evaluated_with_every_run(project: Path, source: Path, tmp_path: Path) -> None:
    copy = Copy(project, "A check")
    code = (
        "from curator_dagster.definitions import defs; "
        "print([key.name for key in defs.resolve_asset_graph().asset_check_keys if key.asset_key.path[-1] == 'clips'])"
    )
    assert "'clips_per_video'" in copy.run("-c", code)
    settings = ("split.method=fixed_stride", "split.clip_length_s=3")
    root = tmp_path / "root"
    assert "clips_per_video" not in copy.curate(source, root, *settings, until="clips")
    printed = " ".join(copy.curate(source, root, *settings, "checks.clips_per_video_max=2", until="clips").split())
    assert "Check clips_per_video of clips: Clips of the video with the most: 3; at most 2." in printed


def test_a_fault_made_by_the_recipe_is_survived(project: Path) -> None:
    copy = Copy(project, "A fault")
    printed = copy.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/faults/test_hangup.py")
    assert "1 passed" in printed


def test_no_recipe_breaks_a_contract_on_imports(project: Path) -> None:
    copy = Copy(project, "A filter", "A check", "A fault")
    command = "from importlinter.cli import lint_imports_command as main; main()"
    assert "0 broken" in copy.run("-c", command, "--no-cache")
