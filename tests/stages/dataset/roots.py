"""Roots whose dataset the write phase wrote, from made tables of clips."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.manifest import ManifestRef
from stages.params import ExecutorParams, WriteParams
from stages.run import open_session
from stages.tasks import Row
from tests.clips import PARTITION
from tests.made_tables import commit_items

FACTS = {"codec": "h264", "rotation": 0, "audio_codec": None, "scores": {"motion": 0.5}}
"""Columns of a clip that `tests.clips.clip_row` does not fill and the dataset names."""

FORKS = "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
"""Python 3.12 warns of every fork of a process with threads, which torch's workers are."""


def write_dataset(root: str, clips: Sequence[Row], captions: Mapping[str, str], **params: Any) -> None:
    """Commit the tables before write, and run write, which publishes a version.

    Args:
        root: folder or bucket.
        clips: kept rows of ``filtered_clips``.
        captions: by clip id, in one window.
        params: of write.
    """
    windows = [_window(row, captions[row["clip_id"]]) for row in clips if row["clip_id"] in captions]
    tables = {"filtered_clips": clips, "unique_clips": clips, "captions": windows}
    inputs = {asset: [ManifestRef(root, asset, PARTITION)] for asset in tables}
    for asset, rows in tables.items():
        commit_items(inputs[asset][0], [(f"{asset}{number}{row}", [row]) for number, row in enumerate(rows)])
    with open_session(ExecutorParams(mode="local", backoff_s=0)) as session:
        session.run_phase(WriteParams(**params), inputs, [ManifestRef(root, "dataset", PARTITION)])


def _window(row: Row, caption: str) -> Row:
    named = {name: row[name] for name in ("partition", "video_id", "uri", "clip_id", "status")}
    return {
        **named,
        "caption": caption,
        "window_index": 0,
        "window_start_frame": 0,
        "window_end_frame": row["end_frame"] - row["start_frame"],
        "model": "teller",
        "prompt_id": "p1",
    }
