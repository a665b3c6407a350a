"""Which decoder and which precision rows tell of; a decoder of hardware gives the same rows, or none of its own."""

from pathlib import Path
from typing import Any

import pytest

from stages.media import DecoderChoice
from stages.params import SplitParams
from stages.split import video_cutter
from stages.tasks import Row
from tests.stages.media.test_decoders import damaged, hardware
from tests.stages.split.test_phase import clips, run, split
from tests.videos import noise_shot, write_video

TOLD = ("decoder", "decoder_note", "dtype")
STRIDE: dict[str, Any] = {"method": "fixed_stride", "clip_length_s": 2}


@pytest.fixture
def video(tmp_path: Path) -> Path:
    pictures = [*noise_shot(1, 55, width=144, height=96, speed=2), *noise_shot(2, 45, width=144, height=96, speed=2)]
    return write_video(tmp_path / "a.mp4", pictures, options={"g": "25"})


@pytest.fixture
def software_rows(tmp_path: Path, video: Path) -> list[Row]:
    """Of the video, before there is another decoder."""
    split(tmp_path / "software", [video], **STRIDE)
    return clips(tmp_path / "software")


@pytest.fixture
def other_decoder(software_rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    use_other_decoder(monkeypatch)


def use_other_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second decoder of FFmpeg's, in the place of NVDEC, which is not here."""
    monkeypatch.setattr(video_cutter, "choose_decoder", lambda asked, device: lambda: DecoderChoice(asked, hardware()))


def told(rows: list[Row]) -> set[tuple[Any, ...]]:
    return {tuple(row[name] for name in TOLD) for row in rows}


def without_told(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name not in TOLD} for row in rows]


def test_another_decoder_changes_nothing_but_what_rows_tell_of_it(
    tmp_path: Path, video: Path, software_rows: list[Row], other_decoder: None
) -> None:
    split(tmp_path / "root", [video], **STRIDE, decoder="auto")
    by_hardware = clips(tmp_path / "root")
    assert told(by_hardware) == {("nvdec", None, None)}
    assert told(software_rows) == {("software", None, None)}
    assert without_told(by_hardware) == without_told(software_rows)


def test_damage_has_the_whole_video_decoded_by_software(tmp_path: Path, video: Path, other_decoder: None) -> None:
    broken = damaged(video, tmp_path / "broken.mp4")
    report = split(tmp_path / "root", [broken], **STRIDE, decoder="auto")
    rows = clips(tmp_path / "root")
    assert report.counters["decoded_again_videos"] == 1
    assert {row["decoder"] for row in rows} == {"software"}
    assert all(row["decoder_note"].startswith("nvdec met damage: ") for row in rows)
    assert sum(row["damaged_frames"] for row in rows) > 0


def test_motion_vectors_are_software_alone(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", noise_shot(1, 60, width=256, height=256, speed=2))
    split(tmp_path / "software", [video], **STRIDE, signals=["vectors"])
    expected = clips(tmp_path / "software")
    with pytest.MonkeyPatch.context() as patch:
        use_other_decoder(patch)
        split(tmp_path / "root", [video], **STRIDE, decoder="auto", signals=["vectors"])
    rows = clips(tmp_path / "root")
    note = "motion vectors, of split.signals, come from the software decoder alone"
    assert told(rows) == {("software", note, None)}
    assert without_told(rows) == without_told(expected)
    assert all(row["vectors_mean"] > 0 for row in rows)


@pytest.mark.system
def test_rows_tell_the_precision_that_was_asked_for_also_when_cut_again(tmp_path: Path) -> None:
    """Another precision is measured anew, other lengths are not."""
    video = write_video(tmp_path / "a.mp4", [*noise_shot(1, 28), *noise_shot(2, 22)])
    params: dict[str, Any] = {"min_length_s": 0.5, "signals": []}
    report = split(tmp_path / "root", [video], **params)
    whole = clips(tmp_path / "root")
    assert (report.counters["decoded_frames"], told(whole)) == (50, {("software", None, "float32")})
    report = run(tmp_path / "root", **params, dtype="bfloat16")
    half = clips(tmp_path / "root")
    assert (report.counters["decoded_frames"], told(half)) == (50, {("software", None, "bfloat16")})
    spans = [[(row["start_frame"], row["end_frame"]) for row in rows] for rows in (whole, half)]
    assert spans[0] == spans[1]
    assert len(spans[0]) == 2
    report = run(tmp_path / "root", **{**params, "min_length_s": 0.4}, dtype="bfloat16")
    assert report.counters["recut_videos"] == 1
    assert told(clips(tmp_path / "root")) == {("software", None, "bfloat16")}


@pytest.mark.parametrize(
    ("values", "nvdecs", "requires_gpu"),
    [
        ({}, 0, False),
        ({"decoder": "auto"}, 0, False),
        ({"decoder": "auto", "gpu_memory_gb": 4}, 1, True),
        ({"decoder": "nvdec"}, 1, True),
        ({"gpus": 0.5}, 0, True),
    ],
)
def test_workers_take_a_decoder_where_it_is_asked_for(values: dict[str, Any], nvdecs: int, requires_gpu: bool) -> None:
    params = SplitParams(**values)
    assert (params.resources().nvdecs, params.requires_gpu) == (nvdecs, requires_gpu)
