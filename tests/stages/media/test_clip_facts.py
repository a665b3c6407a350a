"""Facts of a written file, against arithmetic on what was written, and the ffprobe command."""

import hashlib
import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from stages.media import read_clip_facts
from tests.videos import noise_shot, write_video


def test_facts_are_those_of_what_was_written(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", noise_shot(1, 30, width=96, height=64), rate=24)
    facts = read_clip_facts(str(path))
    assert (facts["width"], facts["height"], facts["sample_aspect_ratio"], facts["rotation"]) == (96, 64, "1:1", 0)
    assert (facts["num_frames"], facts["duration_s"], facts["average_rate"]) == (30, 1.25, "24")
    assert not facts["is_variable_rate"]
    assert (facts["codec"], facts["pixel_format"], facts["bit_depth"]) == ("h264", "yuv420p", 8)
    assert (facts["audio_codec"], facts["audio_rate_hz"], facts["audio_duration_s"]) == (None, None, None)
    assert (facts["bytes"], facts["sha256"]) == (
        path.stat().st_size,
        hashlib.sha256(path.read_bytes()).hexdigest(),
    )


@pytest.mark.parametrize(("steps", "is_variable"), [([41, 42, 42, 41, 42], False), ([40, 40, 80, 40, 40], True)])
def test_rate_is_variable_beyond_the_rounding_of_the_time_base(
    tmp_path: Path, steps: list[int], is_variable: bool
) -> None:
    path, pts = tmp_path / "a.mp4", 0
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=24, options={"bf": "2", "crf": "30"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for step, picture in zip(steps * 5, noise_shot(1, 25), strict=True):
            frame = av.VideoFrame.from_ndarray(picture[:64, :64], format="rgb24")
            frame.pts, frame.time_base = pts, Fraction(1, 1000)
            pts += step
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert read_clip_facts(str(path))["is_variable_rate"] is is_variable


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="needs the ffprobe command")
@pytest.mark.parametrize(
    "name", ["iphone_vertical_hevc.mov", "door_pan_4s.mp4", "nasa_jwst_13s.mp4", "nasa_jwst_13s_rot90.mp4"]
)
def test_facts_are_those_of_ffprobe(shared_media: Path, name: str) -> None:
    path = shared_media / name
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    probed: list[dict[str, Any]] = json.loads(subprocess.check_output(command))["streams"]
    video = next(stream for stream in probed if stream["codec_type"] == "video")
    sound = next((stream for stream in probed if stream["codec_type"] == "audio"), None)
    facts = read_clip_facts(str(path))
    same = {
        **{
            "width": "width",
            "height": "height",
            "codec": "codec_name",
            "profile": "profile",
            "pixel_format": "pix_fmt",
        },
        **{name: name for name in ("color_range", "color_space", "color_transfer", "color_primaries")},
    }
    assert {ours: facts[ours] for ours in same} == {ours: video.get(theirs) for ours, theirs in same.items()}
    assert facts["num_frames"] == int(video["nb_frames"])
    assert facts["duration_s"] == pytest.approx(float(video["duration"]), abs=1e-5)
    assert facts["rotation"] == next((entry["rotation"] for entry in video.get("side_data_list", ())), 0)
    if sound is not None:
        assert facts["audio_codec"] == sound["codec_name"]
        assert (facts["audio_rate_hz"], facts["audio_channels"]) == (int(sound["sample_rate"]), sound["channels"])
