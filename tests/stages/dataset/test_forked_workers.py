"""Workers that are forked from a process with garbage answer, and the process itself still collects it."""

import gc
import multiprocessing
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from torch.utils.data import DataLoader, Dataset

from curator_dagster import ClipDataset, open_dataset
from tests.stages.dataset.roots import FORKS
from tests.videos import noise_shot, write_video


class CollectsFirst(Dataset[dict[str, Any]]):
    """Items of a dataset; garbage is collected before each, as it is sooner or later in every process."""

    def __init__(self, clips: ClipDataset) -> None:
        self._clips = clips

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> dict[str, Any]:
        gc.collect()
        return self._clips[index]


class Node:
    """Garbage once its last name is gone: it refers to itself."""

    def __init__(self, held: object = None) -> None:
        self.held = held
        self.itself = self


@pytest.fixture
def no_collections() -> Iterator[None]:
    """The garbage of a test stays until the test, or a fork, collects it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


@pytest.mark.filterwarnings(FORKS)
@pytest.mark.usefixtures("no_collections")
def test_a_worker_answers_although_a_decoder_with_threads_is_garbage(root: Path, tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", noise_shot(3, 40))
    container = av.open(str(path))
    container.streams.video[0].thread_type = "FRAME"
    frames = container.decode(video=0)
    assert next(frames).pts == 0
    garbage = Node((container, frames))
    gone = weakref.ref(garbage)
    del container, frames, garbage

    clips = open_dataset(root, num_frames=1, size=32)
    loader = DataLoader(
        CollectsFirst(clips), num_workers=2, timeout=60, multiprocessing_context=multiprocessing.get_context("fork")
    )
    assert [batch["clip_id"][0] for batch in loader] == clips.rows["clip_id"].to_pylist()
    assert gone() is not None
    gc.collect()
    assert gone() is None


@pytest.mark.filterwarnings(FORKS)
@pytest.mark.usefixtures("no_collections")
def test_a_program_that_freezes_objects_itself_is_left_alone(root: Path) -> None:
    open_dataset(root)
    gc.freeze()
    try:
        count, garbage = gc.get_freeze_count(), weakref.ref(Node())
        child = multiprocessing.get_context("fork").Process(target=threading.active_count)
        child.start()
        child.join()
        assert child.exitcode == 0
        # Threads free some of them meanwhile; after an unfreeze there are none.
        assert 0 < gc.get_freeze_count() <= count
        assert garbage() is not None
        gc.collect()
        assert garbage() is None
    finally:
        gc.unfreeze()
