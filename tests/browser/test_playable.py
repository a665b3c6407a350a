"""Clips that are written for browsers are played by one."""

import base64
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stages.media import cut_clip
from tests.stages.media.test_cut import coded, job_of
from tests.toned_media import toned_video

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


SHOW = """async ([data, times]) => {
  const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
  const video = document.createElement('video');
  video.muted = true;
  const happens = (name) => new Promise((resolve, reject) => {
    video.addEventListener(name, resolve, {once: true});
    video.addEventListener('error', () => reject(video.error.message), {once: true});
  });
  const loaded = happens('loadeddata');
  video.src = URL.createObjectURL(new Blob([bytes], {type: 'video/mp4'}));
  await loaded;
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const level = (x) => context.getImageData(x, canvas.height / 2, 1, 1).data[1];
  const shown = [];
  for (const time of times) {
    const sought = happens('seeked');
    video.currentTime = time;
    await sought;
    context.drawImage(video, 0, 0);
    shown.push([level(canvas.width / 4), level(3 * canvas.width / 4)]);
  }
  const ended = happens('ended');
  video.currentTime = 0;
  await video.play();
  await ended;
  return [shown, video.currentTime, video.getVideoPlaybackQuality().totalVideoFrames];
}"""
"""Seeks to each time, tells the green level of both halves of the picture, and plays all."""


@pytest.mark.system
@pytest.mark.parametrize("options", [{"bf": "3"}, {"profile": "baseline"}, {"bf": "0"}])
def test_joined_clip_shows_each_frame_at_its_time_and_plays_to_its_end(
    page: "Page", tmp_path: Path, options: dict[str, str]
) -> None:
    parameters = {"x264-params": "keyint=20:min-keyint=20:scenecut=0"}
    source = toned_video(tmp_path / "a.mp4", 80, audio_codec=None, options={**options, **parameters})
    cut = cut_clip(job_of(source, 13, 78, mode="smart"), str(tmp_path / "clip.mp4"))
    assert cut.method == "smart"
    data = base64.b64encode((tmp_path / "clip.mp4").read_bytes()).decode()
    frames = [0, 6, 7, 8, 30, 45, 62, 63, 64, 5, 50]  # of the clip; 7 is the first that is copied
    shown, seconds, num_shown = page.evaluate(SHOW, [data, [(frame + 0.5) / 25 for frame in frames]])
    numbers = [round((high - 20) / 14) * 16 + round((low - 20) / 14) for high, low in shown]
    assert numbers == [frame + 13 for frame in frames]
    assert seconds == pytest.approx(65 / 25, abs=0.05)
    assert num_shown >= 65
