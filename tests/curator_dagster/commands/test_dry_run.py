"""A dry run foretells what the run does, and leaves the root as it is."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from curator_dagster.cli import app
from stages.run.phases import PHASE_CLASSES
from tests.curator_dagster import tiny_phases
from tests.curator_dagster.conftest import write_sources
from tests.videos import noisy_video

LOCAL = ["--set", "executor.mode=local"]
Figures = dict[str, tuple[int, ...]]
PHASES = ("read", "split", "filter", "embed", "caption", "dedup", "write")


def curate(source: Path, root: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(app, ["run", str(source), "--root", str(root), *LOCAL, *arguments])
    assert result.exit_code == 0, result.stderr
    return result


def figures(result: Result, first: int) -> Figures:
    """By phase, how many items are known to be reused, redecided, computed; these begin in the column `first`."""
    lines = [line.replace("or more", "").replace("unknown", "0").split() for line in result.stdout.splitlines()]
    return {
        cells[0]: tuple(map(int, cells[first : first + 3]))
        for cells in lines
        if len(cells) >= first + 3 and cells[0] in PHASES
    }


def foretold(source: Path, root: Path, *arguments: str) -> tuple[Figures, set[str]]:
    """What a dry run says: items by phase, and the phases in which more may follow. Nothing below the root changes."""
    before = contents(root)
    result = curate(source, root, "--dry-run", *arguments)
    assert contents(root) == before
    is_open = {phase for phase, words in rows_of(result).items() if not {"unknown", "more"}.isdisjoint(words)}
    assert ("is not known before the phases above ran" in result.stdout) == bool(is_open)
    return figures(result, 1), is_open


def rows_of(result: Result) -> dict[str, list[str]]:
    """The words of each phase's row."""
    lines = [line.split() for line in result.stdout.splitlines()]
    return {words[0]: words[1:] for words in lines if words and words[0] in PHASES}


def contents(root: Path) -> Mapping[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in root.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DAGSTER_HOME", "CURATOR_ROOT", "CURATOR_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two sources, and a root with all of their tables. Dry runs leave it as it is."""
    folder = tmp_path_factory.mktemp("curated")
    with pytest.MonkeyPatch.context() as patch:
        for name, phase in tiny_phases.PHASES.items():
            patch.setitem(PHASE_CLASSES, name, phase)
        patch.delenv("DAGSTER_HOME", raising=False)
        curate(write_sources(folder / "sources", ("a", "b")), folder / "root")
    return folder / "sources", folder / "root"


@pytest.mark.usefixtures("_tiny_phases")
class TestAllPhases:
    """With phases that do no work on pictures."""

    def test_new_root_has_nothing_but_videos_to_read(self, curated: tuple[Path, Path], tmp_path: Path) -> None:
        counts, is_open = foretold(curated[0], tmp_path / "root")
        assert counts["read"] == (0, 0, 2)
        assert counts["dedup"] == (0, 0, 1)
        assert is_open == set(PHASES) - {"read", "dedup"}, "dedup has one item"
        assert rows_of(curate(curated[0], tmp_path / "root", "--dry-run"))["split"] == 3 * ["unknown"]
        assert not (tmp_path / "root").exists()

    def test_second_run_reuses_all(self, curated: tuple[Path, Path]) -> None:
        counts, is_open = foretold(*curated)
        assert is_open == set()
        assert counts == {phase: (2, 0, 0) for phase in PHASES}

    def test_new_video_is_counted_without_being_registered(self, curated: tuple[Path, Path], tmp_path: Path) -> None:
        source, root = curated
        (source / "c.mp4").write_bytes(b"c")
        try:
            counts, is_open = foretold(source, root)
            again = curate(source, root, "--dry-run")
        finally:
            (source / "c.mp4").unlink()
        assert counts["read"] == (2, 0, 1)
        assert counts["caption"] == (2, 0, 0)
        assert is_open == set(PHASES) - {"read", "dedup"}
        assert rows_of(again)["caption"] == ["2", "or", "more", "unknown", "unknown"]
        assert "videos: 3, partitions: 2, 1 of them new" in again.stderr

    def test_changed_parameter_says_what_is_computed_and_why(self, curated: tuple[Path, Path]) -> None:
        setting = ["--set", "caption.prompt=What is to be seen?"]
        counts, is_open = foretold(*curated, *setting)
        assert {phase: counts[phase] for phase in PHASES if counts[phase][2]} == {"caption": (0, 0, 2)}
        assert is_open == {"write"}
        assert "caption.prompt changed from" in curate(*curated, "--dry-run", *setting).stdout

    def test_until_ends_the_table(self, curated: tuple[Path, Path]) -> None:
        assert list(foretold(*curated, "--until", "clips")[0]) == ["read", "split"]


def test_decisions_are_taken_again_and_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With read, split and filter as they are: a threshold rejects one of two clips; then a run does the same."""
    monkeypatch.setitem(PHASE_CLASSES, "caption", tiny_phases.PHASES["caption"])  # the real one imports torch
    source, root = tmp_path / "sources", tmp_path / "root"
    source.mkdir()
    noisy_video(source / "a.mp4", 50)
    noisy_video(source / "b.mp4", 75)
    base = ["--set", "split.method=fixed_stride", "--set", "split.clip_length_s=3"]
    stricter = [*base, "--set", "filter.duration_min_s=2.5"]
    curate(source, root, *base, "--until", "filtered_clips")
    counts, is_open = foretold(source, root, *stricter, "--until", "captions")
    assert is_open == set()
    assert counts.pop("caption") == (0, 0, 1)
    assert counts["filter"] == (0, 2, 0)
    assert counts == figures(curate(source, root, *stricter, "--until", "filtered_clips"), 4)
