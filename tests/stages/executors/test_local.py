"""The local executor tells its progress from inside a batch, in the thread that does the work."""

import threading
from pathlib import Path

import pytest

from stages import heartbeat
from stages.errors import PhaseError
from stages.executors import local
from stages.executors.local import LocalExecutor
from stages.manifest import ManifestRef
from stages.params import ExecutorParams, ReadParams, SplitParams
from stages.pipeline import ItemResult, Pipeline, RunningBatch, RunStats
from stages.resources import Resources
from stages.run import Progress, open_session
from stages.sources import list_sources, register_sources
from stages.stage import ProcessingStage
from stages.storage import Storage
from stages.tasks import Failed, Rejected, Task
from tests.videos import noise_shot, write_video

LOCAL = ExecutorParams(mode="local", backoff_s=0)
NUM_FRAMES = 40


class CountFrames(ProcessingStage[Task, Task]):
    """Counts frames until the stage has been heard of, which takes several intervals."""

    name = "frames"

    def __init__(self, seen: list[tuple[RunningBatch, ...]]) -> None:
        self.seen = seen

    def process(self, task: Task) -> Task | Rejected | Failed:
        before = len(self.seen)
        while len(self.seen) < before + 2:
            heartbeat.count("frames")
            heartbeat.beat()
        return task


def run(stage: CountFrames, task_ids: str, stats: RunStats) -> list[ItemResult]:
    pipeline = Pipeline("p", [stage], collect=lambda task: [{"id": task.task_id}]).build()
    return [result for result in LocalExecutor(LOCAL).run(pipeline, map(Task, task_ids), stats) if result]


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MAX_SILENCE_S", 0.01)


def test_executor_tells_what_each_batch_has_counted_while_it_runs() -> None:
    stats, seen, threads = RunStats(), list[tuple[RunningBatch, ...]](), set[int]()

    def on_running() -> None:
        seen.append(tuple(stats.running))
        threads.add(threading.get_ident())

    stats.on_running = on_running
    assert [result.task_id for result in run(CountFrames(seen), "ab", stats)] == ["a", "b"]
    (first,), (second,), (third,), (fourth,) = seen
    assert [batch.task_ids for batch in (first, second, third, fourth)] == [("a",), ("a",), ("b",), ("b",)]
    assert 0 < first.counters["frames"] < second.counters["frames"]
    assert 0.01 <= first.seconds < second.seconds
    assert stats.stages["frames"].counters["frames"] == second.counters["frames"] + fourth.counters["frames"]
    assert (stats.running, threads) == ([], {threading.get_ident()})


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_error_of_the_listener_ends_the_run_and_fails_no_row(error: type[BaseException]) -> None:
    stats, seen = RunStats(), list[tuple[RunningBatch, ...]]()

    def on_running() -> None:
        seen.extend([(), ()])
        raise error("stderr is closed")

    stats.on_running = on_running
    with pytest.raises(error, match="stderr is closed"):
        run(CountFrames(seen), "ab", stats)
    assert (len(seen), stats.running) == (2, [])
    heartbeat.beat()
    assert len(seen) == 2, "nobody listens any more"


def test_listener_is_called_neither_from_other_threads_nor_from_within_itself() -> None:
    calls: list[int] = []

    def on_beat() -> None:
        calls.append(threading.get_ident())
        heartbeat.beat()

    with heartbeat.listening(on_beat, 0):
        other = threading.Thread(target=heartbeat.beat)
        other.start()
        other.join()
        heartbeat.beat()
    assert calls == [threading.get_ident()]


def test_session_tells_the_minutes_inside_a_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MAX_SILENCE_S", 0.0)
    (tmp_path / "in").mkdir()
    write_video(tmp_path / "in" / "long.mp4", noise_shot(1, NUM_FRAMES), rate=1, options={"preset": "ultrafast"})
    root = str(tmp_path)
    sources = list_sources(str(tmp_path / "in"), ReadParams())
    (partition,) = register_sources(Storage(root), sources, ReadParams())
    videos, clips = (ManifestRef(root, asset, partition) for asset in ("videos", "clips"))
    told: list[Progress] = []
    with open_session(LOCAL) as session:
        session.run_phase(ReadParams(), {}, [videos])
        session.on_progress = told.append
        split = SplitParams(method="fixed_stride", min_length_s=1, signals=[])
        session.run_phase(split, {"videos": [videos]}, [clips])
    inside = [progress for progress in told if not progress.done and progress.video_s]
    minutes = [progress.video_s for progress in inside]
    assert minutes == sorted(minutes)
    # The times of a frame are known once the next has decoded, so that the last two are told at the end.
    assert {1, NUM_FRAMES // 2, NUM_FRAMES - 2} <= set(minutes)
    assert all(progress.video_total_s == NUM_FRAMES for progress in inside)
    assert all(progress.frames_per_s > 0 and progress.slowest_s > 0 for progress in inside)
    assert (told[-1].video_s, told[-1].is_over) == (NUM_FRAMES, True)


def test_stage_that_requires_a_gpu_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")  # nvidia-smi is not found
    stage = CountFrames([])
    stage.resources = Resources(gpu_memory_gb=2)
    with pytest.raises(PhaseError, match=r"requires a GPU, and nvidia-smi finds none here\. Set gpu_memory_gb"):
        run(stage, "a", RunStats())
