"""`curator what-if` as a person types it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from curator_dagster.cli import app
from stages.manifest import ManifestRef
from stages.params import ExecutorParams, FilterParams
from stages.run import open_session
from tests.clips import PARTITION, clip_row, commit_rows
from tests.videos import noise_shot, write_video


@pytest.fixture
def root(tmp_path: Path) -> str:
    root = tmp_path / "root"
    video = write_video(tmp_path / "a.mp4", noise_shot(1, 1))  # its frames are never read, only columns
    clips = commit_rows(root, "clips", [clip_row(video, 0, n, flow_mean=n / 1000) for n in range(10, 210, 10)])
    with open_session(ExecutorParams(mode="local")) as session:
        params = FilterParams(filters=["motion"], motion_min=0.05)
        session.run_phase(params, {"clips": [clips]}, [ManifestRef(str(root), "filtered_clips", PARTITION)])
    return str(root)


def what_if(*arguments: str) -> tuple[int, list[str]]:
    done = CliRunner().invoke(app, ["what-if", *arguments])
    return done.exit_code, [" ".join(line.split()) for line in done.output.splitlines()]


def test_what_would_be_kept_is_printed_beside_what_is(root: str) -> None:
    code, lines = what_if(root, "--set", "filter.motion_min=0.1")
    assert code == 0
    assert "kept 16 0.0222 11 0.0183 -5" in lines
    assert "motion 4 0.00111 9 0.005 +5" in lines
    assert lines[-3:] == [
        "11 of 20 clips would be kept; 16 are now.",
        "5 would no longer be kept: motion 5.",
        "Nothing was written.",
    ]


def test_files_are_compared(root: str, tmp_path: Path) -> None:
    files = []
    for name, limit in (("a", 0.1), ("b", 0.15)):
        files.append(str(tmp_path / f"{name}.yaml"))
        Path(files[-1]).write_text(f"filter: {{filters: [motion], motion_max: {limit}}}\nsplit: {{crop_s: 1}}\n")
    _, lines = what_if(root, "--config", files[0], "--against", files[1])
    assert "10 of 20 clips would be kept; 15 are now." in lines


def test_thresholds_for_a_share_are_proposed_and_tried(root: str) -> None:
    _, lines = what_if(root, "--keep", "0.7")
    assert lines[:2] == ["--set filter.motion_min=0.04", "--set filter.motion_max=0.17"]
    assert "14 of 20 clips would be kept; 16 are now." in lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "split.threshold=0.3"], "what-if tries parameters of filter"),
        (["--set", "filter.motion_mim=1"], "Did you mean filter.motion_min"),
        (["--keep", "1.5"], "--keep must be a share above 0 and at most 1, got 1.5"),
    ],
)
def test_wrong_requests_are_told(root: str, arguments: list[str], message: str) -> None:
    code, lines = what_if(root, *arguments)
    assert code == 2
    assert message in " ".join(lines)
