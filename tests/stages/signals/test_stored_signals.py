"""Signals as a file: what is written is read back, and damage is noticed."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages.signals import Samples, Signals, read_signals, signals_path, write_signals
from stages.storage import Storage

PATH = signals_path("p", "v", "k")


def signals(**samples: Samples) -> Signals:
    pts = np.arange(0, 10_000, 2, dtype=np.int64) + 1000
    return Signals(pts, np.arange(0, 5000, 250), 11_000, Fraction(1, 12800), "broken at the end", samples)


def test_signals_are_read_as_they_were_written(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    random = np.random.default_rng(1)
    every, some = np.arange(5000), np.arange(3, 5000, 7)
    written = signals(
        each=Samples(every, {"probability": random.random(5000, np.float32), "changed": random.random(5000) > 0.5}),
        sampled=Samples(some, {"flow": random.random(len(some)), "patches": random.random((len(some), 6), np.float32)}),
        several=Samples(np.repeat(some, some % 4), {"heard": random.random(int((some % 4).sum()), np.float32)}),
        none=Samples(np.zeros(0, np.int64), {"never": np.zeros(0)}),
        empty=Samples(every, {}),
    )
    write_signals(storage, PATH, written)
    found = read_signals(storage, PATH)
    assert found is not None
    assert (found.end_pts, found.time_base, found.error) == (11_000, Fraction(1, 12800), "broken at the end")
    np.testing.assert_array_equal(found.pts, written.pts)
    np.testing.assert_array_equal(found.keyframes, written.keyframes)
    for measure, samples in written.samples.items():
        assert found.samples[measure].values.keys() == samples.values.keys()
        for name, values in samples.values.items():
            np.testing.assert_array_equal(found.samples[measure].frame, samples.frame)
            np.testing.assert_array_equal(found.samples[measure][name], values)
            assert found.samples[measure][name].dtype == values.dtype


def test_times_take_less_than_a_byte_a_frame(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    write_signals(storage, PATH, signals())
    [info] = storage.list("manifests")
    assert info.size_bytes < 5000


def test_sampled_values_leave_other_frames_null(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    write_signals(storage, PATH, signals(sampled=Samples(np.array([3, 9]), {"flow": np.array([0.5, np.nan])})))
    column = pq.read_table(f"{storage.root}/{PATH}")["flow"]
    assert (column[3].as_py(), column[4].as_py(), column.null_count) == (0.5, None, 4998)


def test_samples_within_are_those_of_the_frames() -> None:
    samples = Samples(np.array([0, 4, 8, 12]), {"value": np.arange(4)})
    assert samples.within(4, 12)["value"].tolist() == [1, 2]
    assert len(samples.within(5, 8)) == 0


@pytest.mark.parametrize("position", [0.2, 0.5, 0.999])
def test_damaged_signals_are_as_good_as_none(tmp_path: Path, position: float, caplog: pytest.LogCaptureFixture) -> None:
    storage = Storage(tmp_path)
    assert read_signals(storage, PATH) is None
    write_signals(storage, PATH, signals(one=Samples(np.arange(5000), {"a": np.random.default_rng(1).random(5000)})))
    data = bytearray(storage.read_bytes(PATH))
    start = int(len(data) * position)
    data[start : start + 30] = b"\xff" * len(data[start : start + 30])
    storage.write_bytes(PATH, bytes(data))
    assert read_signals(storage, PATH) is None
    assert "is decoded again" in caplog.text
