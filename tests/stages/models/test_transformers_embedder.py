import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from stages.errors import ParamsError
from stages.models.transformers_embedder import TransformersEmbedder
from stages.params import EmbedParams
from stages.tasks import Frames
from tests.clips import WORKER
from tests.videos import noise_shot

transformers = pytest.importorskip("transformers")

VISION = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 8}
TEXT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 99}
NORM = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def clip() -> tuple[object, object]:
    vision = {**VISION, "image_size": 32}
    config = transformers.CLIPConfig(text_config=TEXT, vision_config=vision, projection_dim=24)
    square = {"height": 32, "width": 32}
    return transformers.CLIPModel(config), transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size=square
    )


def siglip() -> tuple[object, object]:
    vision = {**VISION, "image_size": 32}
    config = transformers.SiglipConfig(text_config=TEXT, vision_config=vision)
    return transformers.SiglipModel(config), transformers.SiglipImageProcessorPil(
        size={"height": 32, "width": 32}, **NORM
    )


def dinov2() -> tuple[object, object]:
    config = transformers.Dinov2Config(**VISION, image_size=32)
    square = {"height": 32, "width": 32}
    processor = transformers.BitImageProcessorPil(size={"shortest_edge": 32}, crop_size=square, **NORM)
    return transformers.Dinov2Model(config), processor


DIMENSIONS = {clip: 24, siglip: 32, dinov2: 32}


@pytest.fixture(scope="module", params=DIMENSIONS, ids=lambda make: make.__name__)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A folder with a small random checkpoint, and the length of its vectors."""
    folder = tmp_path_factory.mktemp("checkpoints") / request.param.__name__
    transformers.set_seed(1)
    for part in request.param():
        part.save_pretrained(folder)
    return folder, DIMENSIONS[request.param]


def frames(seed: int, count: int = 3) -> Frames:
    return Frames(np.arange(count, dtype=np.int64), np.stack(noise_shot(seed, count, width=64, height=48, speed=9)))


def embedder(folder: Path) -> TransformersEmbedder:
    made = TransformersEmbedder(EmbedParams(embedder="transformers", model=str(folder)))
    made.setup(WORKER)
    return made


def test_transformers_embedder_gives_unit_vectors_of_the_models_size(checkpoint: tuple[Path, int]) -> None:
    folder, size = checkpoint
    vectors = embedder(folder).embed([frames(1), frames(2, 5)])
    assert (vectors.shape, vectors.dtype) == ((2, size), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(embedder(folder).embed([frames(2, 5)])[0], vectors[1], atol=1e-6)
    assert not np.allclose(vectors[0], vectors[1], atol=1e-4)


def test_identity_follows_weights_and_preprocessing(checkpoint: tuple[Path, int], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in checkpoint[0].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    params = EmbedParams(embedder="transformers", model=str(folder))
    first = TransformersEmbedder(params).identity()
    assert (first.model, len(first.weights_hash)) == ("copy/mean", 16)
    config = folder / "preprocessor_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "image_mean": [0.1, 0.1, 0.1]}))
    assert TransformersEmbedder(params).identity().weights_hash != first.weights_hash


COMMIT, LATER = "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268", "c237dc49a33fc61debc9276459120b7eac67e7ef"


def hub_params(revision: str = "main") -> EmbedParams:
    return EmbedParams(embedder="transformers", model="someone/clip", revision=revision)


def cache(home: Path, checkpoint: Path, commit: str) -> None:
    """Lay out ``someone/clip`` as the hub's client does: a branch that names a commit, and the commit's files."""
    repository = home / "hub" / "models--someone--clip"
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(checkpoint, repository / "snapshots" / commit)


@pytest.fixture
def hub_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    return tmp_path


def test_identity_of_a_hub_checkpoint_is_the_commit_in_the_cache(
    checkpoint: tuple[Path, int], hub_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache(hub_home, checkpoint[0], COMMIT)
    identity = TransformersEmbedder(hub_params()).identity()
    assert (identity.model, identity.weights_hash) == ("someone/clip/mean", COMMIT)
    cache(hub_home, checkpoint[0], LATER)
    assert TransformersEmbedder(hub_params()).identity().weights_hash == LATER
    monkeypatch.setenv("HF_HOME", "elsewhere")
    monkeypatch.setenv("HF_HUB_CACHE", str(hub_home / "hub"))
    assert TransformersEmbedder(hub_params()).identity().weights_hash == LATER


def test_setup_loads_the_commit_that_the_identity_tells(checkpoint: tuple[Path, int], hub_home: Path) -> None:
    cache(hub_home, checkpoint[0], COMMIT)
    made = TransformersEmbedder(hub_params())
    made.setup(WORKER)
    np.testing.assert_array_equal(made.embed([frames(1)]), embedder(checkpoint[0]).embed([frames(1)]))


def test_identity_of_a_commit_needs_no_cache(hub_home: Path) -> None:
    assert TransformersEmbedder(hub_params(COMMIT)).identity().weights_hash == COMMIT


@pytest.mark.parametrize("revision", ["main", "3d74acf"])
def test_identity_rejects_a_name_whose_commit_is_not_cached(hub_home: Path, revision: str) -> None:
    with pytest.raises(ParamsError, match=r"embed\.revision must be a commit .* Give 40 hex digits, or a folder"):
        TransformersEmbedder(hub_params(revision)).identity()


def test_transformers_embedder_rejects_no_model() -> None:
    with pytest.raises(ParamsError, match=r"embed\.model must name a checkpoint"):
        TransformersEmbedder(EmbedParams(embedder="transformers"))


def test_identity_rejects_pickled_weights(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ParamsError, match=r"must be a folder with \*.safetensors"):
        TransformersEmbedder(EmbedParams(embedder="transformers", model=str(tmp_path))).identity()


def test_setup_rejects_a_folder_that_is_no_image_encoder(tmp_path: Path) -> None:
    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "none"}')
    made = TransformersEmbedder(EmbedParams(embedder="transformers", model=str(tmp_path)))
    with pytest.raises(ParamsError, match=r"embed\.model must be an image encoder"):
        made.setup(WORKER)
