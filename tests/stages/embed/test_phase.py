import math
import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stages.embed.loading import PreparedTask, PrepareStage
from stages.embed.phase import EmbedPhase
from stages.embed.stage import EmbedStage, EncodeStage
from stages.errors import ParamsError, StageError
from stages.manifest import ManifestRef, read_manifest
from stages.media import LoadFramesStage
from stages.models import BatchedEmbedder, ModelIdentity
from stages.models.efficientnet import EfficientNetLite0Embedder
from stages.params import EmbedParams, ExecutorParams
from stages.phase import PhaseReport
from stages.run import DryRun, open_session
from stages.stage import WorkerMetadata
from stages.tasks import Failed, Frames, Row, VideoTask
from tests.clips import PARTITION, WORKER, clip_row, commit_rows, video_task
from tests.videos import three_shots


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_shots(tmp_path_factory.mktemp("videos") / "three.mp4")


def run(root: Path, rows: list[Row], params: EmbedParams) -> PhaseReport:
    filtered = commit_rows(root, "filtered_clips", rows)
    output = ManifestRef(str(root), "embeddings", PARTITION)
    with open_session(ExecutorParams(mode="local")) as session:
        return session.run_phase(params, {"filtered_clips": [filtered]}, [output])[PARTITION]


def vectors(root: Path) -> dict[str, list[float]]:
    return {row["clip_id"]: row["embedding"] for row in read_manifest(str(root), "embeddings").to_pylist()}


def test_embed_gives_every_kept_clip_a_unit_vector_with_its_model(tmp_path: Path, video: Path) -> None:
    rows = [clip_row(video, 0, 75), clip_row(video, 75, 150), clip_row(video, 150, 225, status="rejected")]
    report = run(tmp_path, rows, EmbedParams(frames_per_clip=4))
    stored = read_manifest(str(tmp_path), "embeddings").to_pylist()
    assert {row["clip_id"] for row in stored} == {row["clip_id"] for row in rows[:2]}
    for row in stored:
        assert (row["status"], row["model"], len(row["weights_hash"])) == ("kept", "efficientnet-lite0/mean", 16)
        assert (row["num_embedded_frames"], len(row["embedding"]), row["dtype"]) == (4, 1280, "float32")
        assert math.hypot(*row["embedding"]) == pytest.approx(1, abs=1e-6)
    assert (report.computed, report.missing, report.counters["decoded_frames"]) == (2, 0, 225)


def test_embed_keys_depend_on_clip_and_frames_alone(tmp_path: Path, video: Path) -> None:
    rows = [clip_row(video, 0, 75), clip_row(video, 75, 150)]
    run(tmp_path, rows, EmbedParams(frames_per_clip=2))
    decided = [{**row, "thresholds": {"motion_min": 0.5}, "scores": {"motion": 1.0}} for row in rows]
    again = run(tmp_path, decided, EmbedParams(frames_per_clip=2, batch_size=1))
    assert (again.reused, again.computed) == (2, 0)
    other = run(tmp_path, rows, EmbedParams(frames_per_clip=3))
    assert (other.reused, other.computed) == (0, 2)


def test_embed_computes_anew_where_the_shot_is_another(tmp_path: Path, video: Path) -> None:
    run(tmp_path, [clip_row(video, 0, 75)], EmbedParams(frames_per_clip=2))
    other = run(tmp_path, [clip_row(video, 0, 75, shot_end_pts=150 * 512)], EmbedParams(frames_per_clip=2))
    assert (other.reused, other.computed) == (0, 1)


def test_embed_gives_equal_vectors_whatever_the_batch(tmp_path: Path, video: Path) -> None:
    rows = [clip_row(video, start, start + 50) for start in (0, 75, 150)]
    run(tmp_path / "a", rows, EmbedParams(frames_per_clip=3, batch_size=1))
    run(tmp_path / "b", rows, EmbedParams(frames_per_clip=3, batch_size=16))
    alone, together = vectors(tmp_path / "a"), vectors(tmp_path / "b")
    assert list(alone) == list(together)
    np.testing.assert_allclose([*alone.values()], [*together.values()], atol=1e-5)


def test_embed_takes_frames_evenly_spaced_over_the_whole_clip(tmp_path: Path, video: Path) -> None:
    stage = LoadFramesStage(str(tmp_path), max_frames=3)
    stage.setup(WORKER)
    frames = stage.process(video_task(clip_row(video, 0, 225))).data.clip.frames
    stage.teardown()
    assert frames is not None
    seconds = np.asarray(frames.pts) / 12_800
    np.testing.assert_allclose(seconds, [1.5, 4.5, 7.5], atol=0.3)


def test_embed_fails_clips_of_a_lost_source(tmp_path: Path, video: Path) -> None:
    own = Path(shutil.copy(video, tmp_path / "own.mp4"))
    rows = [clip_row(own, 0, 75)]
    own.unlink()
    run(tmp_path, rows, EmbedParams(max_failed_fraction=1))
    (row,) = read_manifest(str(tmp_path), "embeddings").to_pylist()
    assert (row["status"], row["reason"], row["clip_id"]) == ("failed", "gone", rows[0]["clip_id"])
    assert row["embedding"] is None


def test_embed_stage_takes_the_gpu_memory_that_it_is_given(tmp_path: Path) -> None:
    loading, embedding = EmbedPhase(EmbedParams(gpu_memory_gb=2.5), str(tmp_path)).pipeline().build().stages
    assert (loading.resources.requires_gpu, embedding.resources.gpu_memory_gb) == (False, 2.5)
    assert embedding.batch_size == 64  # clips of 8 pictures, as many as one call on a GPU may take
    few = EmbedPhase(EmbedParams(gpu_memory_gb=2.5, batch_size=64), str(tmp_path)).pipeline().build().stages[1]
    on_cpu = EmbedPhase(EmbedParams(), str(tmp_path)).pipeline().build().stages[1]
    assert (few.batch_size, on_cpu.batch_size) == (64, 8)


def test_embed_stage_rejects_other_weights_than_the_drivers() -> None:
    stage = EncodeStage(EfficientNetLite0Embedder(EmbedParams()), ModelIdentity("efficientnet-lite0/mean", "0"))
    with pytest.raises(ParamsError, match="Every machine must hold the same weights"):
        stage.setup(WORKER)


def test_embed_stage_rejects_a_clip_without_frames(tmp_path: Path, video: Path) -> None:
    stage = EmbedStage(EmbedParams(embedder=f"{__name__}:FaultyEmbedder"), ModelIdentity("faulty", "1"))
    stage.setup(WORKER)
    with pytest.raises(StageError, match="must carry pictures, got none"):
        stage.process(video_task(clip_row(video, 0, 75)))


def test_embed_phase_rejects_an_unknown_embedder(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"embedder must be one of .*got 'efficient'"):
        EmbedPhase(EmbedParams(embedder="efficient"), str(tmp_path)).pipeline()


class FaultyEmbedder:
    """Gives the vectors of a list, one after another."""

    vectors: ClassVar[list[Any]] = []

    def __init__(self, params: EmbedParams) -> None:
        self._vectors = iter(self.vectors)

    def identity(self) -> ModelIdentity:
        return ModelIdentity("faulty", "1")

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Nothing to load."""

    def embed(self, clips: list[Frames]) -> list[Any]:
        made = [next(self._vectors) for _ in clips]
        return [np.array(each, np.float32) if isinstance(each, list) else each for each in made]


@pytest.mark.parametrize(
    "fault",
    [
        [math.nan, 1.0],
        [math.inf, 0.0],
        [0.0, 0.0],
        [],
        [[0.6, 0.8]],
        None,
        "vector",
        np.array([1j, 1.0]),
        np.array([1.0, None]),
        ((1.0, 2.0), (1.0,)),
        torch.ones(2, requires_grad=True),
        np.array([1e-40, 1e-41], np.float32),
        np.array([1e300, 1e300]),
    ],
    ids=str,
)
def test_embed_fails_only_the_clip_whose_vector_is_useless(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    monkeypatch.setattr(FaultyEmbedder, "vectors", [[0.6, 0.8], fault, [1.0, 0.0]])
    rows = [clip_row(video, start, start + 75) for start in (0, 75, 150)]
    run(tmp_path, rows, EmbedParams(embedder=f"{__name__}:FaultyEmbedder", max_failed_fraction=1))
    stored = read_manifest(str(tmp_path), "embeddings").to_pylist()
    assert sorted((row["status"], row["reason"]) for row in stored) == [
        ("failed", "stage_error"),
        ("kept", None),
        ("kept", None),
    ]
    (failed,) = (row for row in stored if row["status"] == "failed")
    assert "must have finite numbers" in failed["error"]


@pytest.mark.parametrize(
    "long",
    [np.array([3e30, 4e30], np.float32), np.array([3.0, 4.0]), np.array([3, 4], np.uint8), torch.tensor([3.0, 4.0])],
)
def test_embed_stores_vectors_of_unit_length(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch, long: Any
) -> None:
    monkeypatch.setattr(FaultyEmbedder, "vectors", [long])
    row = clip_row(video, 0, 75)
    run(tmp_path, [row], EmbedParams(embedder=f"{__name__}:FaultyEmbedder"))
    np.testing.assert_allclose(vectors(tmp_path)[row["clip_id"]], [0.6, 0.8], atol=1e-7)


def test_embed_fails_only_the_clip_whose_vector_has_another_size(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever comes first; and not for good: where the others go, its vector is there."""
    monkeypatch.setattr(FaultyEmbedder, "vectors", [[0.0, 0.0, 1.0], [0.6, 0.8], [1.0, 0.0]])
    rows = [clip_row(video, start, start + 75) for start in (0, 75, 150)]
    params = EmbedParams(embedder=f"{__name__}:FaultyEmbedder", max_failed_fraction=1)
    report = run(tmp_path, rows, params)
    stored = {row["clip_id"]: row for row in read_manifest(str(tmp_path), "embeddings").to_pylist()}
    assert [stored[row["clip_id"]]["status"] for row in rows] == ["failed", "kept", "kept"]
    failed = stored[rows[0]["clip_id"]]
    assert (failed["reason"], failed["embedding"]) == ("stage_error", None)
    assert "must have 2 numbers, as most of the partition have, got 3" in failed["error"]
    assert (report.counts["failed"], report.counts["kept"]) == (1, 2)
    inputs = {"filtered_clips": [ManifestRef(str(tmp_path), "filtered_clips", PARTITION)]}
    output = ManifestRef(str(tmp_path), "embeddings", PARTITION)
    plan = DryRun(str(tmp_path), str(tmp_path), ()).plan(params, inputs, [output])
    assert (plan.reused, plan.computed) == (3, 0)
    again = run(tmp_path, rows[:1], params)
    assert (again.computed, vectors(tmp_path)) == (0, {rows[0]["clip_id"]: [0.0, 0.0, 1.0]})


def test_embed_fails_clips_that_get_no_vector(tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FaultyEmbedder, "embed", lambda self, clips: [np.ones(2, np.float32)] * (len(clips) - 1))
    run(tmp_path, [clip_row(video, 0, 75)], EmbedParams(embedder=f"{__name__}:FaultyEmbedder", max_failed_fraction=1))
    (row,) = read_manifest(str(tmp_path), "embeddings").to_pylist()
    assert (row["status"], row["reason"]) == ("failed", "stage_error")
    assert "must give one vector a clip, got 0 of 1" in row["error"]


class MeanColour(BatchedEmbedder):
    """Encodes a picture as its mean colour. Its device has memory for `capacity` pictures."""

    capacity: ClassVar[int] = 2
    calls: ClassVar[list[int]] = []
    dtype = "float32"

    def identity(self) -> ModelIdentity:
        return ModelIdentity("mean-colour", "1")

    def prepare(self, frames: Frames) -> NDArray[np.uint8]:
        return frames.images[:, ::4, ::4]

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Nothing to load."""

    def encode(self, units: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.calls.append(len(units))
        if len(units) > self.capacity:
            raise torch.OutOfMemoryError(f"{len(units)} pictures")
        found = units.mean((1, 2), dtype=np.float32) + 1
        found[(units == 255).all((1, 2, 3))] = np.nan
        return found


def test_embed_makes_smaller_batches_where_memory_runs_out_and_fails_no_row(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MeanColour, "calls", [])
    rows = [clip_row(video, start, start + 45) for start in range(0, 180, 45)]
    params = EmbedParams(embedder=f"{__name__}:MeanColour", frames_per_clip=3)
    run(tmp_path, rows, params)
    assert MeanColour.calls == [8, 4, *[2] * 6]  # 12 pictures
    stored = {row["clip_id"]: row for row in read_manifest(str(tmp_path), "embeddings").to_pylist()}
    for row in rows:
        loading = LoadFramesStage(str(tmp_path), max_frames=3)
        loading.setup(WORKER)
        frames = loading.process(video_task(row)).data.clip.frames
        loading.teardown()
        assert frames is not None
        expected = (frames.images[:, ::4, ::4].mean((1, 2)) + 1).mean(0)
        found = stored[row["clip_id"]]
        np.testing.assert_allclose(found["embedding"], expected / np.linalg.norm(expected), atol=1e-5)
        assert (found["status"], found["dtype"], found["num_embedded_frames"]) == ("kept", "float32", 3)


def test_batch_of_a_device_holds_clips_of_several_videos(tmp_path: Path, video: Path) -> None:
    other = Path(shutil.copy(video, tmp_path / "other.mp4"))
    embedder = MeanColour(EmbedParams(embedder=f"{__name__}:MeanColour", frames_per_clip=2))
    preparing = PrepareStage(str(tmp_path / "root"), embedder, embedder.identity())
    encoding = EncodeStage(embedder, embedder.identity())
    for stage in (preparing, encoding):
        stage.setup(WORKER)
    prepared = [preparing.process(video_task(clip_row(path, 0, 75))) for path in (video, other)]
    assert [(task.units.dtype, task.nbytes) for task in prepared] == [(np.uint8, prepared[0].units.size)] * 2
    preparing.teardown()
    assert encoding.mixes_groups
    assert len({task.group for task in prepared}) == 2
    together = encoding.process_batch(prepared)
    alone = [encoding.process(task) for task in prepared]
    for one, same in zip(alone, together, strict=True):
        assert isinstance(same, VideoTask)
        assert same.task_id == one.task_id
        np.testing.assert_allclose(same.data.clip.embeddings["mean-colour"], one.data.clip.embeddings["mean-colour"])


def test_a_clip_for_which_the_model_gives_nan_fails_alone(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MeanColour, "capacity", 8)
    embedder = MeanColour(EmbedParams(embedder=f"{__name__}:MeanColour", frames_per_clip=2))
    encoding = EncodeStage(embedder, embedder.identity())
    encoding.setup(WORKER)
    dark, white = np.full((2, 4, 4, 3), 9, np.uint8), np.full((2, 4, 4, 3), 255, np.uint8)
    partly = np.concatenate([dark[:1], white[:1]])
    tasks = [
        PreparedTask(str(number), data=video_task(clip_row(video, 0, 75)).data, units=units)
        for number, units in enumerate((dark, white, partly, dark))
    ]
    outcomes = encoding.process_batch(tasks)
    assert [isinstance(outcome, Failed) for outcome in outcomes] == [False, True, True, False]
    assert isinstance(outcomes[1], Failed)
    assert "must have finite numbers, not all of them 0, got 3 of 3 that are NaN" in outcomes[1].error
