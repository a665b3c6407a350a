"""Quotas: counts against arithmetic, and what stays as clips come."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.dedup.quotas import over_quota, value_classes
from stages.errors import ParamsError
from stages.params import DedupParams, Quota, parse_quotas, validate

CLIPS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), min_size=1, max_size=60)


def refused(
    quotas: list[Quota], classes: dict[str, list[str]], order: list[int], kept: list[int] | None = None
) -> dict[int, str]:
    is_kept = np.zeros(max(order) + 1, np.bool_)
    is_kept[kept or []] = True
    return over_quota(quotas, classes, np.array(order), is_kept)


@given(CLIPS, st.integers(1, 20))
def test_of_each_value_the_best_are_kept(clips: list[tuple[str, str]], most: int) -> None:
    kinds = [first for first, _ in clips]
    order = list(range(len(clips)))[::-1]
    expected = {position for kind in "abc" for position in [each for each in order if kinds[each] == kind][most:]}
    assert set(refused([Quota(by="kind", max=most)], {"kind": kinds}, order)) == expected


@given(CLIPS, st.integers(1, 10), st.integers(1, 10))
def test_a_clip_is_refused_only_where_a_quota_of_it_is_full(
    clips: list[tuple[str, str]], first: int, second: int
) -> None:
    classes = {"kind": [each[0] for each in clips], "place": [each[1] for each in clips]}
    most = {"kind": first, "place": second}
    gone = refused([Quota(by=by, max=limit) for by, limit in most.items()], classes, list(range(len(clips))))
    kept = {by: Counter(kinds[each] for each in range(len(clips)) if each not in gone) for by, kinds in classes.items()}
    assert all(count <= most[by] for by, counts in kept.items() for count in counts.values())
    assert all(kept[by][classes[by][position]] == most[by] for position, by in gone.items())


@given(CLIPS, CLIPS, st.integers(1, 10), st.randoms(use_true_random=False))
def test_a_kept_clip_stays_kept_as_others_come(
    old: list[tuple[str, str]], new: list[tuple[str, str]], most: int, random: Any
) -> None:
    quotas = [Quota(by="kind", max=most), Quota(by="place", max_share=0.5)]
    kinds = {"kind": [each[0] for each in old + new], "place": [each[1] for each in old + new]}
    before = refused(quotas, kinds, list(range(len(old))))
    kept = [each for each in range(len(old)) if each not in before]
    order = list(range(len(old + new)))
    random.shuffle(order)
    assert not set(kept) & set(refused(quotas, kinds, order, kept))


def test_what_found_no_room_is_kept_once_a_share_has_room() -> None:
    quota = Quota(by="kind", max_share=0.25)
    assert set(refused([quota], {"kind": ["a"] * 4}, [0, 1, 2, 3])) == {1, 2, 3}
    assert set(refused([quota], {"kind": ["a"] * 4 + ["b"] * 4}, list(range(8)), [0])) == {2, 3, 6, 7}


@pytest.mark.parametrize(
    ("quota", "values", "expected"),
    [
        (Quota(by="x", max=1), ["pan", None, True, 3, 2.5], ["pan", "none", "true", "3", "2.5"]),
        (
            Quota(by="x", max=1, edges=(2, 4.5)),
            [0, 1.99, 2, 4.4, 4.5, 9, None, math.nan],
            ["<2", "<2", "2-4.5", "2-4.5", ">=4.5", ">=4.5", "none", "none"],
        ),
        (Quota(by="x", max=1), [2.5, math.nan], ["2.5", "none"]),
        (
            Quota(by="x", max=1, edges=(1700000000, 1700003600, 1700007200)),
            [1700000000, 1700003600],
            ["1700000000-1700003600", "1700003600-1700007200"],
        ),
    ],
)
def test_values_have_classes(quota: Quota, values: list[Any], expected: list[str]) -> None:
    assert value_classes(quota, values) == expected


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([{"by": "camera_motion"}], "either max or max_share"),
        ([{"by": "camera_motion", "max": 1, "max_share": 0.5}], "either max or max_share"),
        ([{"by": "camera_motion", "max": 0}], "greater than or equal to 1"),
        ([{"max": 3}], "by Field required"),
        ([{"by": "duration_s", "max": 3, "edges": [4, 2]}], "edges must rise"),
        ([{"by": "uri", "max": 3, "clusters": 3}], "only a quota by cluster"),
        ([{"by": "uri", "max": 3}, {"by": "uri", "max": 4}], "uri more than once"),
        ([{"by": "uri", "most": 3}], "most Extra inputs"),
        ([{"by": "uri", "max": True}], "max must be a number, not true or false"),
        ([{"by": "duration_s", "max": 3, "edges": [True]}], "edges must be a number"),
    ],
)
def test_wrong_quotas_are_refused_with_what_is_right(entries: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ParamsError, match="quotas") as caught:
        validate(DedupParams, "dedup", {"quotas": entries})
    assert words in str(caught.value)


def test_a_quota_is_counted_in_clips_whatever_the_share() -> None:
    (quota,) = parse_quotas([{"by": "cluster", "max_share": 0.1}])
    assert [quota.most(count) for count in (1, 10, 29, 30)] == [1, 1, 2, 3]
