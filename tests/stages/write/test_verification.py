from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from stages.errors import CorruptStream, SourceError, SourceGone, UnreadableSource
from stages.media import CutJob, Encoding, cut_clip
from stages.storage import Storage
from stages.tasks import Span
from stages.write.frame_count import count_frames
from stages.write.verification import missing_files, sample_clips, unreadable_clips
from tests.videos import noise_shot, write_video

NUM_FRAMES = 12


@pytest.fixture
def clip(tmp_path: Path) -> dict[str, Any]:
    """A kept row of `dataset` whose file is there."""
    (tmp_path / "dataset/p").mkdir(parents=True)
    source, file = write_video(tmp_path / "a.mp4", noise_shot(1, NUM_FRAMES)), tmp_path / "dataset/p/a.mp4"
    span = Span(0, NUM_FRAMES * 512, Fraction(1, 25 * 512))
    job = CutJob(str(source), span, NUM_FRAMES, at_keyframes=True, mode="encode", encoding=Encoding("h264", 20))
    cut_clip(job, str(file))
    size = file.stat().st_size
    paths = {"path": "p/a.mp4", "preview_path": None, "metadata_path": None}
    return {"clip_id": "a", **paths, "bytes": size, "num_frames": NUM_FRAMES}


def test_count_frames_reads_every_packet(tmp_path: Path, clip: dict[str, Any]) -> None:
    assert count_frames(str(tmp_path / "dataset" / clip["path"])) == NUM_FRAMES


@pytest.mark.parametrize(
    ("data", "error"), [(b"", UnreadableSource), (b"no video" * 99, UnreadableSource), (None, SourceGone)]
)
def test_count_frames_rejects_what_is_no_video(tmp_path: Path, data: bytes | None, error: type[SourceError]) -> None:
    if data is not None:
        (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(error, match=r"a\.mp4"):
        count_frames(str(tmp_path / "a.mp4"))


def test_count_frames_rejects_a_file_that_breaks_off(tmp_path: Path, clip: dict[str, Any]) -> None:
    file = tmp_path / "dataset" / clip["path"]
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(CorruptStream, match="must be whole"):
        count_frames(str(file))


def test_written_clip_is_as_its_row_says(tmp_path: Path, clip: dict[str, Any]) -> None:
    storage = Storage(tmp_path)
    assert list(missing_files(storage, "p", [clip])) == []
    assert list(unreadable_clips(storage, "p", [clip])) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "p/b.mp4"}, "dataset/p/b.mp4 must be there (path), and is missing."),
        ({"preview_path": "p/a.webp"}, "dataset/p/a.webp must be there (preview_path), and is missing."),
        ({"bytes": 7}, "dataset/p/a.mp4 must have 7 bytes, got"),
    ],
)
def test_missing_files_names_what_differs_from_the_row(
    tmp_path: Path, clip: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    (found,) = missing_files(Storage(tmp_path), "p", [{**clip, **change}])
    assert found.startswith(message)


def test_unreadable_clips_names_a_wrong_count_and_a_file_that_does_not_open(
    tmp_path: Path, clip: dict[str, Any]
) -> None:
    (tmp_path / "dataset/p/b.mp4").write_bytes(b"no video")
    clips = [{**clip, "num_frames": 13}, {**clip, "path": "p/b.mp4"}]
    counted, opened = unreadable_clips(Storage(tmp_path), "p", clips)
    assert counted == "dataset/p/a.mp4 must have 13 frames, got 12."
    assert opened == "dataset/p/b.mp4 must be a whole video, got unreadable."


def test_sample_clips_is_equal_in_any_order() -> None:
    clips = [{"clip_id": str(number)} for number in range(50)]
    sampled = sample_clips(clips, 5)
    assert sampled == sample_clips(clips[::-1], 5)
    assert sampled != clips[:5]
    assert len(sample_clips(clips, 0)) == 0
