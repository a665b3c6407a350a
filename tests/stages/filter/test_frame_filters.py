import json
from pathlib import Path

import numpy as np
import pytest

from stages.errors import StageError
from stages.filter.base import first_violation
from stages.filter.frame_filters import BlackFilter, clip_luma, detect_active_area, largest_block_changes
from stages.filter.phase import build_filters
from stages.filter.stage import ScoreStage
from stages.params import FilterParams
from stages.tasks import Clip, Video, VideoTask
from tests.clips import clip_of
from tests.stages.filter.synthetic_clips import CLIPS, HEIGHT, WIDTH, letterboxed

GOLDENS = json.loads((Path(__file__).parents[2] / "goldens" / "frame_filters.json").read_text())
FRAME_FILTERS = FilterParams(filters=["black", "frozen", "letterbox", "exposure"])


def scores_of(name: str) -> dict[str, float | None]:
    task = VideoTask("t", data=Video("v", "/v.mp4", "p", clips=(clip_of(CLIPS[name]()),)))
    scored = ScoreStage(build_filters(FRAME_FILTERS)).process(task).data.clip
    pictures = {name: float(np.mean(values)) if values else None for name, values in scored.picture_scores.items()}
    return {**scored.scores, **pictures}


def reason_of(scores: dict[str, float | None]) -> str | None:
    violation = first_violation(build_filters(FRAME_FILTERS), scores)
    return violation.filter if violation else None


@pytest.mark.parametrize("name", CLIPS)
def test_frame_filters_score_and_decide_as_recorded(name: str) -> None:
    scores, golden = scores_of(name), GOLDENS[name]
    assert {key for key, value in scores.items() if value is None} == set(golden["unmeasured"])
    measured = {key: value for key, value in scores.items() if value is not None}
    assert measured == pytest.approx(golden["scores"], rel=1e-4, abs=1e-6)
    assert reason_of(scores) == golden["reason"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ordinary", None),
        ("starts_black", None),
        ("small_motion", None),
        ("night", None),
        ("single", None),
        ("black", "black"),
        ("frozen", "frozen"),
        ("letterboxed", "letterbox"),
        ("pillarboxed", "letterbox"),
        ("over_exposed", "exposure"),
    ],
)
def test_frame_filters_reject_by_default_what_is_broken_and_nothing_else(name: str, reason: str | None) -> None:
    assert reason_of(scores_of(name)) == reason


def test_frozen_does_not_score_a_single_frame() -> None:
    assert scores_of("single")["frozen"] is None


def test_detect_active_area_finds_the_edges_of_bars() -> None:
    luma = clip_luma(clip_of(letterboxed()))
    assert detect_active_area(luma) == (18, HEIGHT - 18, 0, WIDTH)


def test_largest_block_changes_is_the_mean_change_of_the_most_changed_block() -> None:
    luma = np.zeros((2, 32, 40), np.uint8)
    luma[1, 16:32, 0:16] = 8
    luma[1, 0, 39] = 255  # the last column of blocks is 24 wide: 255 / (16 * 24) = 0.66
    np.testing.assert_allclose(largest_block_changes(luma), [8.0])


def test_clip_luma_weighs_the_colours() -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[0, 0], picture[0, 1], picture[0, 2], picture[0, 3] = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
    assert clip_luma(clip_of([picture]))[0, 0].tolist() == [76, 149, 28, 255]


def test_clip_luma_is_computed_once() -> None:
    clip = clip_of(letterboxed())
    assert clip_luma(clip) is clip_luma(clip)


def test_frame_filters_reject_a_clip_without_frames() -> None:
    clip = clip_of(CLIPS["single"]())
    with pytest.raises(StageError, match="must carry pictures, got none"):
        BlackFilter(0.5).score(Clip(clip.clip_id, clip.span, 0, 1))
