import math
import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.embed.phase import EmbedPhase
from stages.embed.stage import EmbedStage
from stages.errors import ParamsError, StageError
from stages.manifest import ManifestRef, read_manifest
from stages.media import LoadFramesStage
from stages.models import ModelIdentity
from stages.models.efficientnet import EfficientNetLite0Embedder
from stages.params import EmbedParams, ExecutorParams
from stages.phase import PhaseReport
from stages.run import open_session
from stages.stage import WorkerMetadata
from stages.tasks import Frames, Row
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
        assert (row["num_embedded_frames"], len(row["embedding"])) == (4, 1280)
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
    assert vectors(tmp_path / "a") == vectors(tmp_path / "b")


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


def test_embed_stage_rejects_other_weights_than_the_drivers() -> None:
    stage = EmbedStage(EmbedParams(), ModelIdentity("efficientnet-lite0/mean", "0"))
    with pytest.raises(ParamsError, match="Every machine must hold the same weights"):
        stage.setup(WORKER)


def test_embed_stage_rejects_a_clip_without_frames(tmp_path: Path, video: Path) -> None:
    stage = EmbedStage(EmbedParams(), EfficientNetLite0Embedder(EmbedParams()).identity())
    stage.setup(WORKER)
    with pytest.raises(StageError, match="must carry pictures, got none"):
        stage.process(video_task(clip_row(video, 0, 75)))


def test_embed_phase_rejects_an_unknown_embedder(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"embedder must be one of .*got 'efficient'"):
        EmbedPhase(EmbedParams(embedder="efficient"), str(tmp_path)).pipeline()


class FaultyEmbedder:
    """Gives the vectors of a list, one after another."""

    vectors: ClassVar[list[list[float]]] = []

    def __init__(self, params: EmbedParams) -> None:
        self._vectors = iter(self.vectors)

    def identity(self) -> ModelIdentity:
        return ModelIdentity("faulty", "1")

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Nothing to load."""

    def embed(self, clips: list[Frames]) -> list[NDArray[np.float32]]:
        return [np.array(next(self._vectors), np.float32) for _ in clips]


@pytest.mark.parametrize(
    "fault", [[math.nan, 1.0], [math.inf, 0.0], [0.0, 0.0], []], ids=["nan", "inf", "zero", "empty"]
)
def test_embed_fails_only_the_clip_whose_vector_is_useless(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch, fault: list[float]
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
