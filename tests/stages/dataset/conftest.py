"""A root whose dataset is read."""

import itertools
from pathlib import Path

import pytest

from stages.dataset.source_split import is_validation
from tests.clips import clip_row
from tests.stages.dataset.roots import FACTS, write_dataset
from tests.videos import noise_shot, remux, write_video


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources, a clip or two of each: encoded, copied, of varying rate, lying on its side.

    Their folder is one of those with which a quarter for validation leaves no side empty.
    """
    base, names = tmp_path_factory.mktemp("reading"), ("steady.mp4", "varying.mp4", "lying.mp4")
    folders = (base / str(number) for number in itertools.count())
    folder = next(each for each in folders if len({is_validation(str(each / name), 0.25, 0) for name in names}) == 2)
    folder.mkdir()
    keyframes = {"g": "25", "keyint_min": "25", "bf": "2", "x264-params": "scenecut=0"}
    steady = write_video(folder / "steady.mp4", noise_shot(1, 100), options=keyframes)
    gaps = [frame if frame < 40 else 40 + 5 * (frame - 40) for frame in range(50)]
    varying = write_video(folder / "varying.mp4", noise_shot(2, 50, width=128), pts=gaps)
    lying = remux(
        write_video(folder / "upright.mp4", noise_shot(3, 50), options=keyframes), folder / "lying.mp4", rotation=90
    )
    clips = [
        clip_row(steady, 10, 60, start_is_keyframe=False, end_is_keyframe=False, **FACTS),
        clip_row(steady, 25, 75, start_is_keyframe=True, end_is_keyframe=True, **FACTS),
        {
            **clip_row(varying, 0, 50, start_is_keyframe=True, end_is_keyframe=True, **FACTS),
            **{"end_pts": clip_row(varying, 0, 91)["end_pts"]},
        },
        clip_row(lying, 0, 25, start_is_keyframe=True, end_is_keyframe=True, **{**FACTS, "rotation": 90}),
    ]
    write_dataset(str(folder / "root"), clips, {clips[0]["clip_id"]: "A wall slides."})
    return folder / "root"
