"""Cosmos-Embed1 and InternVideo2 by their published interface, on tiny folders of it, against plain arithmetic."""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("transformers")

import cv2

from stages.errors import ParamsError
from stages.manifest import ManifestRef, read_manifest
from stages.models import model_needs, text_tower, trusting
from stages.models.plugins import check_args
from stages.models.published_embedders import CosmosEmbed1Embedder, InternVideo2Embedder, PublishedEmbedder
from stages.params import EmbedParams, ExecutorParams
from stages.run import open_session
from stages.search import search
from stages.tasks import Frames
from tests.clips import PARTITION, WORKER, clip_row, commit_rows
from tests.stages.models.published_checkpoints import (
    CLIP_MEAN,
    CLIP_STD,
    FRAMES,
    INTERN_WORDS,
    SIDE,
    save_cosmos,
    save_internvideo,
)
from tests.stages.models.text_checkpoints import SPECIAL, WORDS
from tests.videos import three_shots

KINDS: dict[str, tuple[type[PublishedEmbedder], Any]] = {
    "cosmos-embed1": (CosmosEmbed1Embedder, save_cosmos),
    "internvideo2": (InternVideo2Embedder, save_internvideo),
}


@pytest.fixture(autouse=True)
def _modules_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code of checkpoints is copied to a folder of this test before it is imported."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "transformers_modules"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "modules"), *sys.path])
    monkeypatch.delenv("CURATOR_TRUST", raising=False)


def made(name: str, folder: Path, **values: Any) -> tuple[PublishedEmbedder, dict[str, NDArray[np.float32]]]:
    """An embedder of a folder that is written, and its weights."""
    kind, save = KINDS[name]
    weights = save(folder)
    return kind(EmbedParams(embedder=name, model=str(folder), **values)), weights


def pictures(count: int, side: int = 16) -> Frames:
    drawn = np.random.default_rng(count).integers(0, 256, (count, side, side, 3), np.uint8)
    return Frames(np.arange(count, dtype=np.int64), drawn)


def unit(vector: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    return vector / np.linalg.norm(vector)


def expected(
    name: str, weights: dict[str, NDArray[np.float32]], images: NDArray[np.uint8]
) -> NDArray[np.floating[Any]]:
    """The vector of a window, uint8 ``[T, H, W, 3]``, by the arithmetic of the tiny networks."""
    if name == "cosmos-embed1":
        step = images.shape[1] // SIDE  # the nearest pixel of a whole factor
        mean, std, prefix = CLIP_MEAN, CLIP_STD, "visual"
        resized = images[:, ::step, ::step]
    else:
        mean, std, prefix = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "vision_proj"
        resized = np.stack([cv2.resize(image, (SIDE, SIDE)) for image in images])
    pixels = (resized.astype(np.float64) / 255 - mean) / std
    pooled = (pixels.mean((1, 2)) * np.arange(1, len(images) + 1)[:, None]).mean(0)
    return unit(weights[f"{prefix}.weight"] @ pooled + weights[f"{prefix}.bias"])


@pytest.mark.parametrize("name", KINDS)
def test_vectors_are_those_of_the_published_interface(tmp_path: Path, name: str) -> None:
    embedder, weights = made(name, tmp_path / "tiny", frames_per_clip=99)
    with trusting([str(tmp_path)]):
        embedder.setup_loader(WORKER)
        embedder.setup(WORKER)
        clips = [pictures(FRAMES), pictures(2), pictures(11)]
        found = embedder.embed(clips)
    picked = [[0, 1, 2, 3], [0, 0, 1, 1], [1, 4, 6, 9]]
    for vector, clip, indexes in zip(found, clips, picked, strict=True):
        np.testing.assert_allclose(vector, expected(name, weights, clip.images[indexes]), atol=1e-5)
    assert (embedder.frames_per_clip, embedder.units_per_clip, embedder.dtype) == (FRAMES, 1, "float32")


@pytest.mark.parametrize("name", KINDS)
def test_texts_are_in_the_space_of_pictures(tmp_path: Path, name: str) -> None:
    embedder, weights = made(name, tmp_path / "tiny")
    with trusting([str(tmp_path)]):
        tower = text_tower(embedder, embedder.params, WORKER)
        assert tower is not None
        found = tower.encode(["a dog runs", "car"])
    if name == "internvideo2":
        places = [[INTERN_WORDS.index(word) for word in text.split()] for text in ("a dog runs", "car")]
        table = weights["text_proj.weight"]
    else:
        names = [*SPECIAL, *WORDS]
        places = [[names.index(word) for word in ("[CLS]", *text.split(), "[SEP]")] for text in ("a dog runs", "car")]
        table = weights["words.weight"]
    np.testing.assert_allclose(found, [unit(table[each].sum(0)) for each in places], atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_code_runs_only_where_the_deployment_trusts_it(tmp_path: Path, name: str) -> None:
    embedder, _ = made(name, tmp_path / "tiny")
    for path in (tmp_path / "tiny").glob("*.py"):
        path.write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n{path.read_text()}")
    refused: list[Callable[[], Any]] = [embedder.identity, partial(embedder.setup, WORKER)]
    if name == "cosmos-embed1":  # the pictures of the other are prepared without its code
        refused.append(partial(embedder.setup_loader, WORKER))
    for call in refused:
        with pytest.raises(ParamsError, match=r"does not trust\. It brings code of its own.*CURATOR_TRUST"):
            call()
    assert not (tmp_path / "ran").exists()
    with trusting([str(tmp_path)]):
        embedder.setup(WORKER)
    assert (tmp_path / "ran").exists()


def test_identity_depends_on_weights_and_code(tmp_path: Path) -> None:
    embedder, _ = made("cosmos-embed1", tmp_path / "tiny")
    with trusting([str(tmp_path)]):
        before = embedder.identity()
        assert before.model == "tiny/visual_proj"
        path = tmp_path / "tiny" / "modeling_embed1.py"
        path.write_text(path.read_text() + "\n# changed\n")
        assert embedder.identity() != before
    (need,) = model_needs([embedder.params])
    assert (need.model, need.is_here) == (str(tmp_path / "tiny"), True)


def test_checkpoints_that_lack_something_are_told(tmp_path: Path) -> None:
    embedder, weights = made("cosmos-embed1", tmp_path / "tiny")
    folder = tmp_path / "tiny"
    config = json.loads((folder / "config.json").read_text())
    with trusting([str(tmp_path)]):
        from safetensors.numpy import save_file

        save_file({"visual.weight": weights["visual.weight"]}, folder / "model.safetensors")
        with pytest.raises(ParamsError, match=r"2 are missing, as visual\.bias, words\.weight"):
            embedder.setup(WORKER)
        save_file({**weights, "visual.bias": weights["visual.bias"][:2]}, folder / "model.safetensors")
        with pytest.raises(ParamsError, match=r"(?s)could not be loaded: RuntimeError.*size mismatch"):
            embedder.setup(WORKER)
        auto_map = {"AutoModel": "other/repository--modeling_embed1.CosmosEmbed1"}
        (folder / "config.json").write_text(json.dumps({**config, "auto_map": auto_map}))
        with pytest.raises(ParamsError, match="auto_map names a class of its own code as AutoModel, got 'other/repo"):
            CosmosEmbed1Embedder(embedder.params).setup(WORKER)
        intern, _ = made("internvideo2", tmp_path / "other")
        path = tmp_path / "other" / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "num_frames": None}))
        with pytest.raises(ParamsError, match="must say how many frames it takes"):
            _ = intern.frames_per_clip
    with pytest.raises(ParamsError, match="a name on the hub such as 'OpenGVLab"):
        InternVideo2Embedder(EmbedParams(embedder="internvideo2"))
    with pytest.raises(ParamsError, match="reads none, got x"):
        check_args(CosmosEmbed1Embedder, "cosmos-embed1", EmbedParams(embedder="cosmos-embed1", args={"x": 1}))


def test_a_clip_is_embedded_and_found_by_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, weights = made("cosmos-embed1", tmp_path / "tiny")
    monkeypatch.setenv("CURATOR_TRUST", str(tmp_path / "tiny"))
    root, video = tmp_path / "root", three_shots(tmp_path / "three.mp4")
    rows = [clip_row(video, 0, 75), clip_row(video, 75, 150), clip_row(video, 150, 225)]
    filtered = commit_rows(root, "filtered_clips", rows)
    params = EmbedParams(more=[{"name": "cosmos", "embedder": "cosmos-embed1", "model": str(tmp_path / "tiny")}])
    with open_session(ExecutorParams(mode="local")) as session:
        reports = session.run_phase(
            params, {"filtered_clips": [filtered]}, [ManifestRef(str(root), "embeddings", PARTITION)]
        )
    assert reports[PARTITION].further["cosmos"].counts["kept"] == 3
    table = read_manifest(str(root), "embeddings.cosmos")
    vectors = dict(zip(table["clip_id"].to_pylist(), table["embedding"].to_pylist(), strict=True))
    assert {len(vector) for vector in vectors.values()} == {6}
    found = search(str(root), "a dog", embedder="cosmos", asset="embeddings")
    names = [*SPECIAL, *WORDS]
    query = unit(weights["words.weight"][[names.index(word) for word in ("[CLS]", "a", "dog", "[SEP]")]].sum(0))
    similarity = {name: float(np.dot(vector, query)) for name, vector in vectors.items()}
    assert found["clip_id"].tolist() == sorted(vectors, key=lambda name: -similarity[name])
    np.testing.assert_allclose(found["query_similarity"], sorted(similarity.values(), reverse=True), atol=1e-5)
