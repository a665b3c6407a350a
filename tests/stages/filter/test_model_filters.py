from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.errors import ParamsError
from stages.filter.base import Measured
from stages.filter.model_filters import AestheticFilter, NsfwFilter, QualityFilter
from stages.filter.phase import FilterPhase, build_filters
from stages.filter.reductions import reduced
from stages.manifest import ManifestRef, read_manifest
from stages.models import Brisque, ModelIdentity, mean_pool
from stages.models.efficientnet import NUM_FEATURES, EfficientNetLite0
from stages.params import EmbedParams, ExecutorParams, FilterParams
from stages.run import open_session
from stages.stage import WorkerMetadata
from stages.tasks import Frames
from tests.clips import PARTITION, WORKER, clip_of, clip_row, commit_rows
from tests.stages.filter.synthetic_clips import ordinary
from tests.stages.models.picture_checkpoints import save_classifier
from tests.videos import write_video


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """A head over the vectors of EfficientNet-Lite0, which the base install has."""
    weights = np.random.default_rng(2).normal(size=(1, NUM_FEATURES))
    np.savez(tmp_path / "head.npz", weight=weights, bias=np.array([5.0]))
    return tmp_path / "head.npz"


def aesthetic(head: Path, **arguments: Any) -> AestheticFilter:
    fields: dict[str, Any] = {
        "aesthetic_min": 0.0,
        "aesthetic_embedder": "efficientnet-lite0",
        "aesthetic_model": "",
        "aesthetic_revision": "main",
    }
    fields |= {"aesthetic_head": str(head), "aesthetic_pictures": 2, **arguments}
    return AestheticFilter(**fields)


def test_aesthetic_scores_each_picture_by_the_head(head: Path) -> None:
    made = aesthetic(head)
    made.setup(WORKER)
    pictures = ordinary()
    scores = np.asarray(made.score(clip_of(pictures)).scores["aesthetic"], np.float32)
    weights = np.load(head)["weight"][0]
    features = EfficientNetLite0().features(np.stack([pictures[2], pictures[6]]))
    expected = [mean_pool(each[np.newaxis]) @ weights + 5 for each in features]
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert reduced(scores.tolist(), "min") == pytest.approx(min(expected), abs=1e-4)


def test_head_of_another_size_is_refused_at_setup(head: Path) -> None:
    np.savez(head, weight=np.ones((1, 768)), bias=np.zeros(1))
    with pytest.raises(ParamsError, match=r"head over vectors of 1280 numbers.*got one over 768"):
        aesthetic(head).setup(WORKER)


def test_identity_of_aesthetic_follows_the_head_and_refuses_none(head: Path) -> None:
    before = aesthetic(head).identity()
    assert aesthetic(head, aesthetic_min=3.0).identity() == before
    np.savez(head, weight=np.ones((1, NUM_FEATURES)), bias=np.zeros(1))
    assert aesthetic(head).identity() != before
    head.unlink()
    with pytest.raises(ParamsError, match=r"filter\.aesthetic_head must be a file"):
        aesthetic(head).identity()


@pytest.mark.parametrize("missing", ["aesthetic_head", "aesthetic_model"])
def test_aesthetic_needs_a_head_and_a_model(missing: str) -> None:
    values: dict[str, Any] = {"aesthetic_head": "head.npz", "aesthetic_model": "folder", missing: ""}
    with pytest.raises(ValueError, match=f"{missing} must name"):
        FilterParams(filters=["aesthetic"], **values)


def test_embedder_of_aesthetic_is_among_the_plug_ins_of_a_launch() -> None:
    named: dict[str, Any] = {"aesthetic_head": "h.npz", "aesthetic_embedder": "acme.embedders:Own"}
    assert ("embedder", "acme.embedders:Own") in FilterParams(filters=["aesthetic"], **named).plugin_names()
    assert FilterParams(**named).plugin_names() == FilterParams().plugin_names()


class NanEmbedder:
    """An encoder whose weights are spoilt."""

    version = "1"

    def __init__(self, params: EmbedParams) -> None: ...

    def identity(self) -> ModelIdentity:
        return ModelIdentity("spoilt", "0")

    def setup(self, worker_metadata: WorkerMetadata) -> None: ...

    def embed(self, clips: Sequence[Frames]) -> NDArray[np.float32]:
        return np.full((len(clips), 4), np.nan, np.float32)


def test_model_that_gives_nan_fails_the_clip_instead_of_passing_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "head.npz", weight=np.ones((1, 4)), bias=np.zeros(1))
    row = clip_row(write_video(tmp_path / "a.mp4", ordinary()), 0, 8)
    values: dict[str, Any] = {
        "filters": ["duration", "aesthetic"],
        "aesthetic_head": str(tmp_path / "head.npz"),
        "aesthetic_embedder": f"{__name__}:NanEmbedder",
    }
    clips = commit_rows(tmp_path, "clips", [row])
    output = ManifestRef(str(tmp_path), "filtered_clips", PARTITION)
    with open_session(ExecutorParams(mode="local")) as session:
        session.run_phase(FilterParams(**values, max_failed_fraction=1), {"clips": [clips]}, [output])
    (stored,) = read_manifest(str(tmp_path), "filtered_clips").to_pylist()
    assert (stored["status"], stored["reason"]) == ("failed", "stage_error")
    assert "The model of filter 'aesthetic' must give finite numbers, got [nan" in stored["error"]


def test_quality_tells_blurred_pictures_and_measures_nothing_of_flat_ones() -> None:
    made = QualityFilter(quality_brisque_max=1000, quality_pictures=2)
    made.setup(WORKER)
    flat = made.score(clip_of([np.full((64, 64, 3), 90, np.uint8)] * 2))["quality_brisque"]
    assert np.isnan(flat).all()
    pictures = ordinary()
    expected = Brisque().scores(np.stack([pictures[2], pictures[6]]))
    np.testing.assert_allclose(made.score(clip_of(pictures))["quality_brisque"], expected, rtol=1e-5)


def test_nsfw_takes_the_worst_picture() -> None:
    made = NsfwFilter(nsfw_max=0.8, nsfw_model="", nsfw_labels=["nsfw"], nsfw_pictures=3)
    made.setup(WORKER)
    scores = made.score(clip_of(ordinary()))
    assert scores.shape == (3,)
    assert made.reductions == {"nsfw": "max"}
    assert made.violation({"nsfw": 0.81}) == "nsfw must be at most 0.8 (filter.nsfw_max), got 0.81."


def test_what_unused_filters_are_set_to_changes_no_key() -> None:
    base = FilterPhase(FilterParams(), "/nowhere").decision_key()
    assert FilterPhase(FilterParams(nsfw_max=0.5, text_max=0.1), "/nowhere").decision_key() == base
    with_quality = [*FilterParams().filters, "quality"]
    assert FilterPhase(FilterParams(filters=with_quality, quality_brisque_max=50), "/nowhere").decision_key() != base


def test_limits_of_model_filters_reject_nothing_unless_set(head: Path) -> None:
    values: dict[str, Any] = {"aesthetic_head": str(head), "aesthetic_embedder": "efficientnet-lite0"}
    for made in build_filters(FilterParams(filters=["nsfw", "quality", "aesthetic"], **values)):
        worst = {"nsfw": 1.0, "quality_brisque": 200.0, "aesthetic": -50.0}
        assert made.violation(worst) is None


def test_scores_stand_in_the_row_and_are_reduced_without_encoding(tmp_path: Path, head: Path) -> None:
    row = clip_row(write_video(tmp_path / "a.mp4", ordinary() * 3), 0, 24)
    values: dict[str, Any] = {
        "filters": ["quality", "aesthetic"],
        "aesthetic_head": str(head),
        "aesthetic_embedder": "efficientnet-lite0",
    }
    clips = commit_rows(tmp_path, "clips", [row])
    output = ManifestRef(str(tmp_path), "filtered_clips", PARTITION)
    with open_session(ExecutorParams(mode="local")) as session:
        session.run_phase(FilterParams(**values), {"clips": [clips]}, [output])
        changed = FilterParams(**values, reduce=["aesthetic=min"], aesthetic_min=1000)
        report = session.run_phase(changed, {"clips": [clips]}, [output])[PARTITION]
    (stored,) = read_manifest(str(tmp_path), "filtered_clips").to_pylist()
    assert (report.computed, report.redecided, stored["reason"]) == (0, 1, "aesthetic")
    pictures = dict(stored["picture_scores"])
    assert dict(stored["scores"])["aesthetic"] == min(pictures["aesthetic"])
    assert set(pictures) == {"quality_brisque", "aesthetic"}


def test_embed_takes_the_very_vector_that_the_filter_has_made(tmp_path: Path, head: Path) -> None:
    row = clip_row(write_video(tmp_path / "a.mp4", ordinary() * 3), 0, 24)
    values: dict[str, Any] = {"aesthetic_head": str(head), "aesthetic_embedder": "efficientnet-lite0"}
    root = tmp_path / "root"
    clips = commit_rows(root, "clips", [row])
    filtered = ManifestRef(str(root), "filtered_clips", PARTITION)
    embedded = ManifestRef(str(root), "embeddings", PARTITION)

    def embed(**params: Any) -> tuple[int, int]:
        report = session.run_phase(EmbedParams(**params), {"filtered_clips": [filtered]}, [embedded])[PARTITION]
        return report.redecided, report.computed

    with open_session(ExecutorParams(mode="local")) as session:
        session.run_phase(
            FilterParams(filters=["aesthetic"], aesthetic_pictures=3, **values), {"clips": [clips]}, [filtered]
        )
        assert embed(frames_per_clip=3) == (1, 0)
        (taken,) = read_manifest(str(root), "embeddings").to_pylist()
        assert embed(frames_per_clip=2) == (0, 1)
        assert embed(frames_per_clip=3, retry_reasons=["gone"]) == (0, 0)
    commit_rows(root, "filtered_clips", [row])  # as without the filter
    for path in (root / "manifests" / "embeddings").rglob("*.*"):
        path.unlink()
    with open_session(ExecutorParams(mode="local")) as session:  # one reads what it has committed itself
        assert embed(frames_per_clip=3) == (0, 1)
    (encoded,) = read_manifest(str(root), "embeddings").to_pylist()
    np.testing.assert_allclose(taken.pop("embedding"), encoded.pop("embedding"), atol=1e-5)
    assert taken == encoded


def test_pictures_of_several_clips_share_calls_and_keep_their_scores(head: Path) -> None:
    clips = [clip_of(ordinary()), clip_of([picture[::2, ::2] for picture in ordinary()]), clip_of(ordinary()[:1])]
    nsfw = NsfwFilter(nsfw_max=0.8, nsfw_model="", nsfw_labels=["nsfw"], nsfw_pictures=3, batch_size=2)
    for made in (nsfw, aesthetic(head, batch_size=3)):
        made.setup(WORKER)
        together = [scores_of(found) for found in made.score_all(clips)]
        assert [len(scores) for scores in together] == [min(3 if made is nsfw else 2, len(ordinary()))] * 2 + [1]
        for clip, scores in zip(clips, together, strict=True):
            np.testing.assert_allclose(scores, scores_of(made.score(clip)), atol=1e-4)


def scores_of(measured: Any) -> Any:
    return measured.scores["aesthetic"] if isinstance(measured, Measured) else measured


def test_precision_enters_the_key_where_it_is_asked_for(head: Path, tmp_path: Path) -> None:
    folder = str(save_classifier(tmp_path))

    def nsfw(**values: Any) -> NsfwFilter:
        return NsfwFilter(nsfw_max=0.8, nsfw_model=folder, nsfw_labels=["porn"], nsfw_pictures=3, **values)

    for make in (nsfw, lambda **values: aesthetic(head, **values)):
        assert make(dtype="auto").identity() == make(batch_size=7).identity() == make().identity()
        assert make(dtype="bfloat16").identity() == {**make().identity(), "dtype": "bfloat16"}
    half = nsfw(dtype="bfloat16")
    half.setup(WORKER)
    whole = nsfw()
    whole.setup(WORKER)
    assert (half.dtype_computed, whole.dtype_computed) == ("bfloat16", "float32")
    np.testing.assert_allclose(half.score(clip_of(ordinary())), whole.score(clip_of(ordinary())), atol=0.02)


def test_rows_tell_the_precision_of_each_model(tmp_path: Path, head: Path) -> None:
    row = clip_row(write_video(tmp_path / "a.mp4", ordinary()), 0, 8)
    values: dict[str, Any] = {"aesthetic_head": str(head), "aesthetic_embedder": "efficientnet-lite0"}
    clips = commit_rows(tmp_path, "clips", [row])
    output = ManifestRef(str(tmp_path), "filtered_clips", PARTITION)

    def stored(filters: list[str], **more: Any) -> tuple[int, Any]:
        params = FilterParams(filters=filters, **values, **more)
        with open_session(ExecutorParams(mode="local")) as session:
            report = session.run_phase(params, {"clips": [clips]}, [output])[PARTITION]
        (found,) = read_manifest(str(tmp_path), "filtered_clips").to_pylist()
        return report.computed, found

    computed, first = stored(["duration", "aesthetic"])
    assert (computed, first["aesthetic_dtype"], first["nsfw_dtype"]) == (1, "float32", None)
    computed, second = stored(["nsfw", "aesthetic"])
    assert (computed, second["aesthetic_dtype"], second["nsfw_dtype"]) == (1, "float32", "float32")
    computed, again = stored(["aesthetic"], batch_size=2)
    assert (computed, again["aesthetic_dtype"], again["nsfw_dtype"]) == (0, "float32", None)
    computed, half = stored(["aesthetic"], dtype="bfloat16")
    assert (computed, half["aesthetic_dtype"]) == (1, "bfloat16")
    assert dict(half["scores"])["aesthetic"] == pytest.approx(dict(again["scores"])["aesthetic"], abs=0.2)


def test_arguments_of_an_embedder_are_checked_for_aesthetic_too(head: Path) -> None:
    assert aesthetic(head, aesthetic_embedder=f"{__name__}:NanEmbedder").dtype_computed is None
    with pytest.raises(ParamsError, match="embedder must be a class with the methods"):
        aesthetic(head, aesthetic_embedder="pathlib:Path")
