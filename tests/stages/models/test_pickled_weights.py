"""Weights in pickles: refused, unless the deployment trusts them; code in them never runs."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.errors import ParamsError
from stages.models import TRUST_VARIABLE, NsfwClassifier, may_run_code_of, model_needs, trusting
from stages.models.checkpoints import resolve
from stages.models.transformers_embedder import TransformersEmbedder
from stages.params import EmbedParams, FilterParams
from stages.tasks import Frames
from tests.clips import WORKER
from tests.stages.models.picture_checkpoints import LABELS, dinov2, save_classifier, saved
from tests.videos import noise_shot

pytest.importorskip("transformers")


def pictures(count: int = 3) -> Any:
    return np.stack(noise_shot(1, count, width=64, height=48, speed=9))


def pickled(folder: Path, state: Any) -> Path:
    """The checkpoint, its safetensors replaced by a pickle."""
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    return folder


def embedded(folder: Path) -> Any:
    made = TransformersEmbedder(EmbedParams(embedder="transformers", model=str(folder)))
    made.identity()
    made.setup(WORKER)
    return made.embed([Frames(np.arange(3), pictures())])


def test_pickles_are_refused_with_what_the_deployment_can_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRUST_VARIABLE, raising=False)
    folder = pickled(tmp_path, saved(tmp_path, dinov2).state_dict())
    with pytest.raises(ParamsError, match=rf"Pickled weights can run code .*adds 'pickle:{folder}', .*CURATOR_TRUST"):
        embedded(folder)
    assert not resolve(str(folder), "").is_here


@pytest.mark.parametrize("entry", ["pickle:{}", "{}"])
def test_trusted_pickles_give_the_vectors_of_safetensors(
    entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = saved(tmp_path, dinov2)
    expected = embedded(tmp_path)
    folder = pickled(tmp_path, model.state_dict())
    monkeypatch.setenv(TRUST_VARIABLE, entry.format(folder))
    np.testing.assert_allclose(embedded(folder), expected, atol=1e-6)
    (need,) = model_needs([EmbedParams(embedder="transformers", model=str(folder))])
    assert (need.is_here, need.size_bytes) == (True, (folder / "pytorch_model.bin").stat().st_size)


def test_hash_follows_the_pickle(tmp_path: Path) -> None:
    model = saved(tmp_path, dinov2)
    folder = pickled(tmp_path, model.state_dict())
    with trusting([f"pickle:{folder}"]):
        before = resolve(str(folder), "").weights_hash()
        torch.save({**model.state_dict(), "more": torch.ones(1)}, folder / "pytorch_model.bin")
        assert resolve(str(folder), "").weights_hash() != before


def test_trust_in_pickles_is_no_trust_in_code(tmp_path: Path) -> None:
    with trusting([f"pickle:{tmp_path}", "pickle:some/model"]):
        assert not may_run_code_of(str(tmp_path))
        assert not may_run_code_of("some/model")


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.target, "ran"))


@pytest.mark.parametrize("content", ["code", "half a file", "another architecture"])
def test_bad_pickles_are_refused_and_run_nothing(content: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    state = saved(tmp_path / "model", dinov2).state_dict()
    target = tmp_path / "written"
    if content == "code":
        folder = pickled(tmp_path / "model", {"weight": Malicious(target)})
        with pytest.raises(pickle.UnpicklingError):
            torch.load(folder / "pytorch_model.bin", weights_only=True)
    else:
        some = {name: value for name, value in state.items() if content == "half a file" or "layer.1" not in name}
        folder = pickled(tmp_path / "model", some)
    weights = folder / "pytorch_model.bin"
    if content == "half a file":
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with trusting([f"pickle:{tmp_path}"]), pytest.raises(ParamsError, match=r"^embed\.model"):
        embedded(folder)
    assert not target.exists()


def test_classifiers_read_trusted_pickles_too(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path)
    labels = list(LABELS[2:])

    def probabilities() -> Any:
        classifier = NsfwClassifier(str(folder), labels)
        classifier.load("cpu", 1)
        return classifier.probabilities(pictures())

    expected = probabilities()
    from safetensors.torch import load_file

    pickled(folder, load_file(folder / "model.safetensors"))
    with pytest.raises(ParamsError, match=r"filter\.nsfw_model must be a folder"):
        NsfwClassifier(str(folder), labels).identity()
    with trusting([f"pickle:{folder}"]):
        np.testing.assert_allclose(probabilities(), expected, atol=1e-6)


def test_needs_name_the_checkpoints_of_filters(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path)
    values: dict[str, Any] = {"filters": ["nsfw"], "nsfw_model": str(folder)}
    (need,) = model_needs([FilterParams(**values)])
    assert (need.phase, need.model, need.is_here) == ("filter", str(folder), True)
    size = (folder / "model.safetensors").stat().st_size
    assert size > need.memory_bytes > size * 0.9
    (half,) = model_needs([FilterParams(**values, dtype="float16")])
    assert half.memory_bytes * 2 == need.memory_bytes
    assert not list(model_needs([FilterParams(nsfw_model=str(folder))]))
    assert json.loads((folder / "config.json").read_text())["model_type"] == "vit"
