"""How often the stored pictures of clips are decoded: at most once in each phase, in whatever worker."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages.media import frame_loader
from tests.faults.command import curate_in_process
from tests.videos import three_shots

SETTINGS = {
    "executor.mode": "local",
    "split.method": "fixed_stride",
    "split.clip_length_s": 1,
    "split.min_length_s": 0.5,
    "filter.filters": "[black,sharpness,quality]",
    "filter.score_only": "[all]",
}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts each JPEG that is decoded for a stage, by its hash; it is decoded all the same."""
    counts: Counter[str] = Counter()
    decode = frame_loader._decode_jpegs

    def counting(jpegs: Iterable[bytes]) -> np.ndarray | None:
        given = list(jpegs)
        counts.update(hashlib.sha256(jpeg).hexdigest() for jpeg in given)
        return decode(given)

    monkeypatch.setattr(frame_loader, "_decode_jpegs", counting)
    return counts


@pytest.mark.system
def test_each_phase_decodes_a_stored_picture_once(decoded: Counter[str], tmp_path: Path) -> None:
    video = three_shots(tmp_path / "video.mp4")
    curate_in_process(video, tmp_path / "root", SETTINGS, until="clips")
    stored = sum(len(pq.read_table(file)) for file in (tmp_path / "root" / "frames").rglob("*.parquet"))
    assert not decoded
    for until in ("filtered_clips", "embeddings", "captions", "unique_clips", "dataset"):
        curate_in_process(video, tmp_path / "root", SETTINGS, until=until)
        assert max(decoded.values(), default=1) == 1, until
        expected = {"unique_clips": range(1), "dataset": range(1, stored + 1)}.get(until, range(stored, stored + 1))
        assert len(decoded) in expected, until  # a preview shows some
        decoded.clear()
