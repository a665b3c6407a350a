"""Marks that stand over all scenes of a video, before a camera that stands still."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.media.frame_loader import FrameLoader
from stages.media.frame_store import frames_key
from stages.media.lasting_marks import find_lasting_marks
from tests.clips import FPS, clip_row, video_task
from tests.videos import write_video

HEIGHT, WIDTH = 180, 320
LOGO = (250, 20, 300, 60)
"""Left, top, right, bottom of the mark that is drawn, in pixels."""
Luma = NDArray[np.uint8]


def scene(level: int, count: int = 4) -> Luma:
    """A texture about a grey level that stands, with noise, ``[N, H, W]``."""
    random = np.random.default_rng(level)
    texture = cv2.GaussianBlur(random.normal(0, 1, (HEIGHT, WIDTH)), (0, 0), 4)
    texture = level + 60 * texture / np.abs(texture).max()
    return np.clip(texture + random.normal(0, 2, (count, HEIGHT, WIDTH)), 0, 255).astype(np.uint8)


def marked(pictures: Luma) -> Luma:
    """A crossed frame on a copy of each picture."""
    left, top, right, bottom = LOGO
    pictures = pictures.copy()
    for picture in pictures:
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), 250, 3)
        cv2.line(picture, (left, top), (right - 1, bottom - 1), 250, 3)
    return pictures


SCENES = [scene(level) for level in (60, 95, 130, 165)]


def test_logo_is_found_though_each_scene_stands() -> None:
    marks = find_lasting_marks(np.concatenate([marked(each) for each in SCENES]))
    (box,) = marks.within(marked(SCENES[1]))
    found = (box.left * WIDTH, box.top * HEIGHT, box.right * WIDTH, box.bottom * HEIGHT)
    np.testing.assert_allclose(found, LOGO, atol=4)


def test_clip_without_the_logo_has_no_mark() -> None:
    """It stands over four scenes of five, and not over the first."""
    title = scene(25)
    marks = find_lasting_marks(np.concatenate([title, *(marked(each) for each in SCENES)]))
    assert len(marks.edges) == 1
    assert marks.within(title) == []
    assert len(marks.within(marked(SCENES[0]))) == 1


def test_bars_are_no_marks() -> None:
    pictures = np.concatenate([marked(each) for each in SCENES])
    pictures[:, :14] = pictures[:, -14:] = 16
    pictures[:, :, :20] = pictures[:, :, -15:] = 16
    (box,) = find_lasting_marks(pictures).within(pictures[:4])
    assert box.left * WIDTH == pytest.approx(LOGO[0], abs=4)
    assert box.bottom * HEIGHT == pytest.approx(LOGO[3], abs=4)


@pytest.mark.parametrize(
    "pictures",
    [
        np.concatenate(SCENES),
        np.concatenate([marked(SCENES[0]), marked(SCENES[1]), marked(SCENES[0]), marked(SCENES[1])]),
        np.zeros((8, HEIGHT, WIDTH), np.uint8),
        np.zeros((0, HEIGHT, WIDTH), np.uint8),
    ],
    ids=["no logo", "two scenes in turn", "black", "no pictures"],
)
def test_nothing_stands_where_nothing_can_be_told(pictures: Luma) -> None:
    assert find_lasting_marks(pictures).edges == ()


def test_marks_of_a_video_are_looked_for_in_all_of_it(tmp_path: Path) -> None:
    """Of its frame store; the clip shows one scene."""
    shots = [marked(np.repeat(each[:1], 20, axis=0)) for each in SCENES]
    pictures = [cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB).astype(np.uint8) for shot in shots for picture in shot]
    video = write_video(tmp_path / "a.mp4", pictures, rate=10, options={"preset": "ultrafast"})
    loader = FrameLoader(str(tmp_path / "root"))
    row = clip_row(video, 20, 40, frames_max_px=WIDTH)
    task = video_task({**row, "frames_key": frames_key(row["video_id"], FPS, WIDTH)}).data
    clip = task.clip
    assert loader.lasting_marks(task) == [], "its pictures are not loaded"
    shown = loader.load(task)
    (box,) = loader.lasting_marks(replace(task, clips=(replace(clip, frames=shown),)))
    assert box.left * WIDTH == pytest.approx(LOGO[0], abs=4)
    loader.close()
