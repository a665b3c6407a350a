"""Clips that are written for browsers are played by one."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stages.media import cut_clip
from tests.stages.media.test_cut import coded, job_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

PLAY = """async (name) => {
  const video = document.createElement('video');
  video.muted = true;
  video.src = name;
  const ended = new Promise((resolve) => {
    video.onended = () => resolve('ended');
    video.onerror = () => resolve('error');
  });
  video.play();
  const outcome = await ended;
  return [outcome, video.videoWidth, video.videoHeight, video.currentTime, video.webkitAudioDecodedByteCount > 0];
}"""


@pytest.mark.system
@pytest.mark.parametrize(
    ("codec", "pixel_format", "audio"),
    [
        ("libx264", "yuv420p", "aac"),
        ("libx264", "yuv422p10le", "libmp3lame"),
        ("libx265", "yuv420p10le", "aac"),
        ("mpeg4", "yuv420p", "libmp3lame"),
    ],
)
def test_clip_for_browsers_plays_to_its_end(
    page: "Page", tmp_path: Path, codec: str, pixel_format: str, audio: str
) -> None:
    source = coded(tmp_path / "a.mkv", codec, pixel_format, audio=audio)
    job = replace(job_of(source, 0, 25, mode="auto"), copied_codecs=frozenset({"h264"}), copies_aac_only=True)
    cut_clip(job, str(tmp_path / "clip.mp4"))
    (tmp_path / "page.html").write_text("<html></html>")
    page.goto((tmp_path / "page.html").as_uri())
    outcome, width, height, seconds, has_sound = page.evaluate(PLAY, "clip.mp4")
    assert (outcome, width, height, has_sound) == ("ended", 64, 64, True)
    assert seconds == pytest.approx(1.0, abs=0.05)
