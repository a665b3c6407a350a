from typing import Any

import numpy as np
import pytest

from curator_dagster.report.committed_tables import read_committed
from curator_dagster.report.score_histograms import bin_edges, score_histograms, score_of_threshold
from stages.filter import build_filters
from stages.params import FilterParams
from stages.registry.table import TABLE
from stages.storage import Storage
from tests.curator_dagster.synthetic_roots import clip, write_root

DARK = {"filtered_clips": {"status": "rejected", "reason": "black", "error": "black must be at most 0.5, got 0.7."}}


@pytest.mark.parametrize(
    ("threshold", "score"),
    [
        ("width_min_px", "size_width_px"),
        ("duration_max_s", "duration"),
        ("motion_max", "motion"),
        ("motion_vectors_patch_min", "motion_vectors_patch"),
        ("black_max", "black"),
        ("brightness_min", None),
    ],
)
def test_score_of_a_threshold_is_told_by_their_names(threshold: str, score: str | None) -> None:
    names = ["size_width_px", "duration", "motion", "motion_vectors_mean", "motion_vectors_patch", "black"]
    assert score_of_threshold(threshold, dict.fromkeys(names)) == score


GIVEN: dict[str, Any] = {
    "aesthetic_head": "head.npz",
    "aesthetic_model": "model",
    "ask_model": "model",
    "ask_questions": {"dog": "Is there a dog?"},
    "ask_min": {"dog": 0.5},
}
"""What filters need."""


@pytest.mark.parametrize("name", sorted(name for phase, name in TABLE if phase == "filter"))
def test_thresholds_of_every_bundled_filter_stand_at_their_scores(name: str) -> None:
    limits = [limit for each in build_filters(FilterParams(filters=[name], **GIVEN)) for limit in each.limits]
    scores = dict.fromkeys(limit.score for limit in limits)
    assert [score_of_threshold(limit.threshold, scores) for limit in limits] == [limit.score for limit in limits]


@pytest.mark.parametrize(
    ("values", "limits", "ends"),
    [
        ([0.2, 0.4], [0.5], (0.2, 0.5)),
        ([0.2, 0.4], [100.0], (0.2, 0.4)),
        ([3.0, 3.0], [], (3.0, 4.0)),
        ([0.0, 0.001, 0.01, 1.0], [0.0005], (0.0005, 1.0)),
    ],
)
def test_bin_edges_hold_all_values_and_the_limits_near_them(
    values: list[float], limits: list[float], ends: tuple[float, float]
) -> None:
    edges = bin_edges(np.array(values), limits)
    assert (edges[0], edges[-1]) == pytest.approx(ends)
    assert np.all(np.diff(edges) > 0)


def test_histograms_count_every_clip_that_was_scored(storage: Storage) -> None:
    bright = clip(7, scores={"motion": 0.3, "black": None}, ends=DARK)
    write_root(storage, [*(clip(number) for number in range(6)), bright, clip(8, scores=None)])
    motion, black = score_histograms(read_committed(storage)["filtered_clips"].table)
    assert (motion["name"], sum(motion["kept"]), sum(motion["lost"])) == ("motion", 6, 1)
    assert motion["limits"] == [{"name": "motion_min", "bound": "min", "values": [0.005]}]
    assert (black["name"], sum(black["kept"]), sum(black["lost"])) == ("black", 6, 0)
