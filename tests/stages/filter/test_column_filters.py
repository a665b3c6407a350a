from typing import Any

import pytest

from stages.filter.base import Filter, first_violation
from stages.filter.column_filters import (
    CameraFilter,
    DurationFilter,
    FormatFilter,
    InterlacedFilter,
    MotionFilter,
    MotionVectorFilter,
    SharpnessFilter,
    SizeFilter,
)
from stages.filter.stage import ScoreStage
from stages.tasks import Video, VideoTask
from tests.clips import clip_of
from tests.stages.filter.synthetic_clips import ordinary

SIZE = SizeFilter(64, 48)
DURATION = DurationFilter(1.0, 3.0)
MOTION = MotionFilter(0.01, 2.0)
INTERLACED = InterlacedFilter(0.25)
FORMAT = FormatFilter(10, 60, 8, 0)
VECTORS = MotionVectorFilter(0.00098, 1e-6)


def decided(filters: list[Filter], num_frames: int = 4, **columns: Any) -> tuple[dict[str, float | None], str | None]:
    task = VideoTask("t", data=Video("v", "/v.mp4", "p", clips=(clip_of(ordinary()[:num_frames], **columns),)))
    scores = dict(ScoreStage(filters).process(task).data.clip.scores)
    violation = first_violation(filters, scores)
    return scores, violation.detail if violation else None


@pytest.mark.parametrize(
    ("width", "height", "detail"),
    [
        (64, 48, None),
        (63, 48, "size_width_px must be at least 64 (filter.width_min_px), got 63."),
        (1, 47, "size_width_px must be at least 64 (filter.width_min_px), got 1."),
        (640, 47, "size_height_px must be at least 48 (filter.height_min_px), got 47."),
    ],
)
def test_size_filter_wants_both_sides(width: int, height: int, detail: str | None) -> None:
    assert decided([SIZE], width=width, height=height) == (
        {"size_width_px": width, "size_height_px": height},
        detail,
    )


@pytest.mark.parametrize(("num_frames", "is_kept"), [(1, False), (2, True), (6, True), (7, False)])
def test_duration_filter_admits_both_bounds(num_frames: int, is_kept: bool) -> None:
    scores, detail = decided([DURATION], num_frames)
    assert (scores, detail is None) == ({"duration": num_frames / 2}, is_kept)


@pytest.mark.parametrize(("flow", "is_kept"), [(0.0, False), (0.01, True), (2.0, True), (2.1, False), (None, True)])
def test_motion_filter_judges_what_was_measured(flow: float | None, is_kept: bool) -> None:
    scores, detail = decided([MOTION], flow_mean=flow)
    assert (scores, detail is None) == ({"motion": flow}, is_kept)


@pytest.mark.parametrize(
    ("mean", "patch", "is_kept"),
    [
        (2.697398e-06, 0.0, False),
        (7.62939453125e-06, 0.001953125, False),
        (0.0048828125, 0.0048828125, True),
        (0.001220703125, 0.0, False),
        (None, None, True),
        (float("nan"), float("nan"), True),
    ],
)
def test_motion_vector_filter_drops_what_the_thresholds_of_curator_drop(
    mean: float | None, patch: float | None, is_kept: bool
) -> None:
    scores, detail = decided([VECTORS], vectors_mean=mean, vectors_patch_min=patch)
    assert list(scores) == ["motion_vectors_mean", "motion_vectors_patch"]
    assert (detail is None) == is_kept
    if mean != mean:
        assert scores["motion_vectors_mean"] is None


@pytest.mark.parametrize(
    ("motion", "speed", "number", "detail"),
    [
        ("static", 0.0, 0.0, None),
        ("pan", 0.3, 1.0, None),
        ("mixed", 0.3, 6.0, None),
        (None, None, None, None),
        ("pan", 0.6, 1.0, "camera_speed must be at most 0.5 (filter.camera_speed_max), got 0.6."),
        (
            "shake",
            0.1,
            5.0,
            "camera_motion must not be among ['shake', 'roll'] (filter.camera_rejected), got shake.",
        ),
    ],
)
def test_camera_filter_rejects_listed_motions_and_fast_ones(
    motion: str | None, speed: float | None, number: float | None, detail: str | None
) -> None:
    camera = CameraFilter(["shake", "roll"], 0.5)
    expected = ({"camera_motion": number, "camera_speed": speed}, detail)
    assert decided([camera], camera_motion=motion, camera_speed=speed) == expected


@pytest.mark.parametrize(("sharpness", "is_kept"), [(45.0, True), (44.9, False), (None, True)])
def test_sharpness_filter_judges_what_split_measured(sharpness: float | None, is_kept: bool) -> None:
    scores, detail = decided([SharpnessFilter(45.0)], sharpness=sharpness)
    assert (scores, detail is None) == ({"sharpness": sharpness}, is_kept)


def test_first_violation_is_the_first_in_order() -> None:
    columns = {"width": 1, "height": 1, "flow_mean": 0.0}
    scores, _ = decided([SIZE, MOTION], **columns)
    violations = [first_violation([SIZE, MOTION], scores), first_violation([MOTION, SIZE], scores)]
    assert [violation.filter for violation in violations if violation] == ["size", "motion"]


@pytest.mark.parametrize(
    ("score_only", "reason"), [([], "size"), (["size"], "motion"), (["size", "motion"], None), (["all"], None)]
)
def test_first_violation_skips_filters_that_only_score(score_only: list[str], reason: str | None) -> None:
    scores, _ = decided([SIZE, MOTION], width=1, height=1, flow_mean=0.0)
    violation = first_violation([SIZE, MOTION], scores, score_only)
    assert (violation.filter if violation else None) == reason


@pytest.mark.parametrize(("share", "is_kept"), [(0.0, True), (0.25, True), (0.3, False), (None, True)])
def test_interlaced_filter_judges_the_share_of_frames(share: float | None, is_kept: bool) -> None:
    scores, detail = decided([INTERLACED], interlaced_share=share)
    assert (scores, detail is None) == ({"interlaced": share}, is_kept)


@pytest.mark.parametrize(
    ("rate", "bits", "is_hdr", "violated"),
    [
        ("30000/1001", 8, False, None),
        ("8/1", 8, False, "format_rate must be at least 10"),
        ("120/1", 8, False, "format_rate must be at most 60"),
        ("25/1", 1, False, "format_bit_depth must be at least 8"),
        ("25/1", 10, True, "format_hdr must be at most 0"),
        (None, None, None, None),
    ],
)
def test_format_filter_judges_the_source(
    rate: str | None, bits: int | None, is_hdr: bool | None, violated: str | None
) -> None:
    scores, detail = decided([FORMAT], average_rate=rate, bit_depth=bits, is_hdr=is_hdr)
    assert scores["format_bit_depth"] == bits
    assert (detail or "").startswith(violated or "")
    assert (detail is None) == (violated is None)
