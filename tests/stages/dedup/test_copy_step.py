"""Copies as rows of ``unique_clips``: found across partitions and runs, before clips are compared by embeddings."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.dedup.copy_hashes import ClipHashes
from stages.signals import Samples, Signals, signals_path, write_signals
from stages.storage import Storage
from stages.tasks import Row
from tests.stages.dedup.drawn_clips import clip, crop, mark
from tests.stages.dedup.tables import Library, angles

FAR_APART = {"a": 0, "b": 90, "c": 180, "d": 270, "e": 45}
"""Angles of vectors, so that no two clips are near-duplicates."""


def add(library: Library, partition: str, clips: dict[str, ClipHashes], facts: dict[str, Row] | None = None) -> None:
    """A partition of clips, each the whole of a video, whose signals hold these pictures."""
    rows: dict[str, Row] = {}
    for name, drawn in clips.items():
        # The video of each clip is that of its partition in the tables, so that each has a key of its own.
        record(library, partition, f"key{name}", drawn)
        whole = {"start_frame": 0, "end_frame": len(drawn.seconds), "start_s": 0.0, "end_s": 4.0, "shot_start_pts": 0}
        rows[name] = {**whole, "signals_key": f"key{name}", "video_id": f"v-{name}", **(facts or {}).get(name, {})}
    library.add(partition, angles(**{name: FAR_APART[name] for name in clips}), facts=rows)


def record(library: Library, partition: str, key: str, drawn: ClipHashes) -> None:
    pts = np.round(drawn.seconds * 1000).astype(np.int64)
    values: dict[str, Any] = {"thumbnail": drawn.thumbnails, "pdq_quality": drawn.quality}
    samples = {"hashes": Samples(np.arange(len(pts)), values)}
    signals = Signals(pts, np.zeros(1, np.int64), int(pts[-1]) + 125, Fraction(1, 1000), None, samples)
    write_signals(Storage(library.root), signals_path(partition, f"v-{key.removeprefix('key')}", key), signals)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """The clip b is a faster copy of a, in another partition; c is another one."""
    made = Library(tmp_path)
    add(made, "p1", {"a": clip(), "c": clip(seed=2, action=3)})
    add(made, "p2", {"b": clip(0.5, 3.0, speed=1.5, change=mark)})
    return made


def test_a_copy_is_rejected_and_says_of_what_and_where(library: Library) -> None:
    library.dedup(eps=0.01)
    rows = library.rows()
    assert {name: row["status"] for name, row in rows.items()} == {"a": "kept", "b": "rejected", "c": "kept"}
    copy = rows["b"]
    assert (copy["reason"], copy["copy_of"], copy["group_id"], copy["nearest_clip_id"]) == ("copy", "a", "a", "a")
    assert copy["error"] == "It is a copy of clip a."
    assert (copy["copy_rate"], copy["copy_offset_s"]) == (pytest.approx(1.5, rel=0.04), pytest.approx(0.5, abs=0.1))
    assert copy["similarity"] is None
    assert {rows[name]["copy_of"] for name in "ac"} == {None}


def test_copies_are_not_looked_for_where_that_is_switched_off(library: Library) -> None:
    library.dedup(eps=0.01, copies=False)
    assert library.kept() == {"a", "b", "c"}


def test_new_clips_are_compared_with_those_that_were_kept_before(library: Library) -> None:
    library.dedup(eps=0.01)
    before = library.rows()["b"]
    add(library, "p3", {"d": clip(change=crop(0.85, 0.2, 0.2))}, {"d": {"width": 3840, "height": 2160}})
    report = library.dedup(eps=0.01)
    rows = library.rows()
    assert (rows["d"]["reason"], rows["d"]["copy_of"]) == ("copy", "a")
    assert {**rows["b"], "row_key": 0, "decision_key": 0, "group_size": 0, "rank": 0} == {
        **before,
        "row_key": 0,
        "decision_key": 0,
        "group_size": 0,
        "rank": 0,
    }
    assert report.counters["dedup_copies"] == 1
    assert len(list((library.root / "index/copies").glob("*.parquet"))) == 2


def test_hashes_are_made_again_where_the_index_is_lost_or_damaged(library: Library) -> None:
    library.dedup(eps=0.01)
    files = list((library.root / "index/copies").glob("*.parquet"))
    files[0].write_bytes(b"PAR1 and no more")
    add(library, "p3", {"d": clip(1.0, 3.0)})
    library.dedup(eps=0.01)
    assert library.rows()["d"]["copy_of"] == "a"


def test_a_clip_without_signals_is_no_copy(library: Library) -> None:
    (library.root / signals_path("p2", "v-b", "keyb")).unlink()
    report = library.dedup(eps=0.01)
    assert library.kept() == {"a", "b", "c"}
    assert report.counters["dedup_clips_without_hashes"] == 1


LARGE: Row = {"width": 1280, "height": 720}
BLURRED: Row = {"detail": 0.7, "sharpness": 54.0}


@pytest.mark.parametrize(
    ("facts", "kept"),
    [
        ({}, "a"),
        ({"a": {"damaged_share": 0.1}}, "b"),
        ({"b": {"width": 1280, "height": 720}}, "b"),
        ({"b": {"width": 1280, "height": 720, "detail": 0.65}}, "a"),  # enlarged
        ({"a": {"median_frequency": 0.2}, "b": {**LARGE, "median_frequency": 0.11}}, "a"),  # enlarged letters
        ({"a": {"median_frequency": 0.2}, "b": {**LARGE, "median_frequency": 0.19}}, "b"),
        ({"a": {"median_frequency": 0.2}, "b": {**LARGE, "median_frequency": None}}, "b"),
        ({"a": {"median_frequency": 0.2, "size_bytes": 200}, "b": {**LARGE, "median_frequency": 0.11}}, "b"),  # blocks
        ({"b": {"noise": 1.0, "detail": 2.2, "size_bytes": 9000}}, "a"),
        ({"b": {"noise": 0.2, "detail": 2.2, "size_bytes": 9000}}, "b"),
        ({"b": {"noise": 1.0, "size_bytes": 9000}}, "b"),  # without fine detail it is motion
        ({"a": {"noise": 3.0}, "b": {"noise": 0.4}}, "a"),  # all of it moves, but for a frame around it
        ({"a": {"noise": 1.1}, "b": {"noise": 1.4, "size_bytes": 900}}, "a"),  # faster, so that more moves
        ({"a": {"noise": 3.0}, "b": {"noise": 3.0, "detail": 2.5, "size_bytes": 9000}}, "a"),
        ({"b": {"height": 480, "picture_share": 0.75, "size_bytes": 1300}}, "a"),  # bars and their edges have bytes
        ({"b": {"size_bytes": 1300}}, "a"),  # words of a mark have bytes
        ({"b": {"video_frames": 50, "size_bytes": 800}}, "a"),  # more a second, of one keyframe
        ({"a": {"noise": None}, "b": {"noise": None}}, "a"),
        ({"a": {**BLURRED, "size_bytes": 2100}, "b": {"sharpness": 55.0}}, "a"),  # out of focus; its copy has blocks
        ({"a": {**BLURRED, "size_bytes": 1100}, "b": {"sharpness": 55.0}}, "b"),
        ({"a": {**BLURRED, "size_bytes": 2100}, "b": {"sharpness": 80.0}}, "b"),  # of this one it is a blurred copy
        ({"a": {**BLURRED, "size_bytes": 2100}, "b": {"width": 160, "height": 90, "sharpness": 55.0}}, "a"),
        ({"a": BLURRED, "b": {"sharpness": 50.0, "detail": 1.9, "noise": 1.7, "size_bytes": 2000}}, "a"),
        ({"b": {"size_bytes": 5000}}, "b"),
        ({"b": {"bit_depth": 10}}, "b"),
        ({"b": {"bit_depth": 10, "size_bytes": 500}}, "a"),
    ],
)
def test_the_better_copy_stays(facts: dict[str, Row], kept: str, tmp_path: Path) -> None:
    library = Library(tmp_path)
    usual: Row = {"width": 640, "height": 360, "detail": 1.1, "picture_share": 1.0, "noise": 0.0, "size_bytes": 1000}
    usual |= {"video_frames": 100, "average_rate": "25", "codec": "h264", "bit_depth": 8, "damaged_share": 0.0}
    clips = {"a": clip(), "b": clip(change=mark)}
    add(library, "p1", clips, {name: {**usual, **facts.get(name, {})} for name in clips})
    library.dedup(eps=0.01)
    assert library.kept() == {kept}
