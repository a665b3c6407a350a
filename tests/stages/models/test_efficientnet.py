from pathlib import Path

import av
import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from stages.errors import StageError
from stages.models.efficientnet import EfficientNetLite0, EfficientNetLite0Embedder, weights_hash, weights_path
from stages.models.efficientnet_network import preprocess
from stages.models.embedder import mean_pool
from stages.params import EmbedParams
from stages.stage import WorkerMetadata
from stages.tasks import Frames
from tests.clips import WORKER
from tests.videos import noise_shot


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    return EfficientNetLite0()


def pictures(seed: int, count: int = 3) -> np.ndarray:
    return np.stack(noise_shot(seed, count, width=128, height=96, speed=9))


def frames(seed: int, count: int = 3) -> Frames:
    return Frames(np.arange(count, dtype=np.int64), pictures(seed, count))


def embedder() -> EfficientNetLite0Embedder:
    made = EfficientNetLite0Embedder(EmbedParams())
    made.setup(WORKER)
    return made


def test_features_and_classes_are_those_of_the_published_network(network: EfficientNetLite0) -> None:
    images = pictures(1, 10)
    model = EfficientNet.from_name("efficientnet-lite0").eval()
    model.load_state_dict(torch.load(weights_path(), weights_only=True))
    inputs = torch.from_numpy(np.stack([preprocess(image) for image in images])).permute(0, 3, 1, 2)
    with torch.inference_mode():
        features = model.extract_features(inputs).mean((2, 3)).numpy()
        classes = torch.softmax(model(inputs), 1).numpy()
    np.testing.assert_allclose(network.features(images), features, atol=1e-4)
    np.testing.assert_allclose(network.class_probabilities(images), classes, atol=1e-5)


def test_class_probabilities_name_what_real_pictures_show(network: EfficientNetLite0, shared_media: Path) -> None:
    with av.open(str(shared_media / "dog_eating_14s.mp4")) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    probabilities = network.class_probabilities(np.asarray(picture, np.uint8)[None])
    assert probabilities.shape == (1, 1000)
    assert probabilities[0, 151:269].sum() > 0.5  # the classes that are breeds of dogs
    assert probabilities.sum() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("shape", [(64, 64), (1, 1), (90, 400), (720, 300)])
def test_prepared_crops_any_shape_to_the_network_input(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 255, np.uint8)
    small = preprocess(picture)
    assert (small.shape, small.dtype) == ((224, 224, 3), np.float32)
    np.testing.assert_allclose(small, 1.0)


def test_embed_gives_unit_vectors_that_do_not_depend_on_their_neighbours() -> None:
    together = embedder().embed([frames(1), frames(2, 11), frames(3, 1)])
    assert (together.shape, together.dtype) == ((3, 1280), np.float32)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    alone = embedder().embed([frames(2, 11)])
    np.testing.assert_allclose(together[1], alone[0], atol=1e-5)


def test_vectors_of_units_encoded_together_are_those_of_each_alone() -> None:
    made = embedder()
    units = np.concatenate([made.prepare(frames(seed, count)) for seed, count in ((1, 3), (2, 7), (3, 1))])
    alone = np.concatenate([made.encode(unit[None]) for unit in units])
    np.testing.assert_allclose(
        made.encode_all([units[:4], units[4:5], units[5:]]), alone, atol=1e-5 * np.abs(alone).max()
    )


def test_embed_puts_a_degraded_copy_nearer_than_another_picture() -> None:
    copy = Frames(frames(1).pts, np.clip(frames(1).images.astype(int) + 6, 0, 255).astype(np.uint8))
    vectors = embedder().embed([frames(1), copy, frames(2)])
    assert vectors[0] @ vectors[1] > 0.95 > vectors[0] @ vectors[2]


def test_embed_rejects_a_call_before_setup() -> None:
    with pytest.raises(RuntimeError, match="setup must be called before embed"):
        EfficientNetLite0Embedder(EmbedParams()).embed([frames(1)])


def test_networks_of_one_process_are_one_copy() -> None:
    assert EfficientNetLite0()._network is EfficientNetLite0()._network


def test_identity_names_model_and_weights() -> None:
    identity = EfficientNetLite0Embedder(EmbedParams()).identity()
    assert (identity.model, identity.weights_hash) == ("efficientnet-lite0/mean", weights_hash())
    assert len(weights_hash()) == 16


@pytest.mark.parametrize("features", [np.zeros((2, 4)), np.full((2, 4), np.nan), np.full((2, 4), np.inf)])
def test_pooled_rejects_features_without_direction(features: np.ndarray) -> None:
    with pytest.raises(StageError, match="must be finite and not all zero"):
        mean_pool(features)


@pytest.mark.gpu
def test_features_on_the_gpu_are_those_of_the_cpu(network: EfficientNetLite0) -> None:
    device = WorkerMetadata("gpu", WORKER.node, device="cuda:0").device
    on_gpu = mean_pool(EfficientNetLite0(device).features(pictures(1)))
    assert on_gpu @ mean_pool(network.features(pictures(1))) > 0.999
