"""The division into training and validation."""

import logging
from typing import Any

import pyarrow as pa
import pytest

from stages.dataset.source_split import Side, select_side
from stages.errors import ParamsError

URIS = [f"s3://bucket/videos/{number}.mp4" for number in range(2000)]


def side(uris: list[str], name: Side, share: float = 0.1, seed: int = 0) -> list[str]:
    """Uris of the rows on a side; each source has two clips."""
    rows = pa.table({"uri": [uri for uri in uris for _ in range(2)]})
    return select_side(rows, name, share=share, seed=seed)["uri"].to_pylist()


def test_the_sides_share_no_source_and_hold_all_clips() -> None:
    train, validation = side(URIS, "train"), side(URIS, "validation")
    assert not set(train) & set(validation)
    assert len(train) + len(validation) == 2 * len(URIS)
    assert len(validation) == 2 * len(set(validation))
    assert 160 <= len(set(validation)) <= 240, "three standard deviations around 200"


def test_a_source_keeps_its_side_when_others_are_added_or_go() -> None:
    assert set(side(URIS[500:900], "validation")) == set(side(URIS, "validation")) & set(URIS[500:900])


def test_a_larger_share_only_adds_and_another_seed_divides_otherwise() -> None:
    small = set(side(URIS, "validation"))
    assert small < set(side(URIS, "validation", share=0.2))
    assert len(small & set(side(URIS, "validation", seed=1))) < 60, "as many as chance has in common, about 20"


def test_the_sides_are_the_same_in_every_process() -> None:
    assert [uri.rpartition("/")[2] for uri in side(URIS[:24], "validation")[::2]] == [
        "4.mp4",
        "5.mp4",
        "6.mp4",
        "14.mp4",
        "18.mp4",
    ]


def test_an_empty_side_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert side(URIS[:1], "validation", share=1e-9) == []
    assert "The split validation has no clip: all 1 sources are on the other side" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("test", 0.1), "split must be 'train', 'validation' or None for all clips, got 'test'"),
        (("train", 0.0), "validation_share must be above 0 and below 1, got 0.0"),
        (("train", 1), "validation_share must be above 0 and below 1, got 1"),
    ],
)
def test_select_side_rejects(arguments: tuple[Any, float], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        side(URIS, *arguments)
