"""Vectors of image and video encoders are those of each library's own plain loop, on small random checkpoints."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

from stages.errors import ParamsError
from stages.models.transformers_embedder import TransformersEmbedder
from stages.params import EmbedParams
from stages.tasks import Frames
from tests.clips import WORKER
from tests.stages.models.picture_checkpoints import (
    MEAN,
    STD,
    TEXT,
    VISION,
    Make,
    clip,
    dinov2,
    dinov3,
    saved,
    siglip2,
    videomae,
    vjepa2,
    xclip,
)
from tests.videos import noise_shot

transformers = pytest.importorskip("transformers")


def frames(seed: int, count: int) -> Frames:
    return Frames(np.arange(count, dtype=np.int64), np.stack(noise_shot(seed, count, width=64, height=48, speed=9)))


def embedder(folder: Path, **params: Any) -> TransformersEmbedder:
    made = TransformersEmbedder(EmbedParams(embedder="transformers", model=str(folder), **params))
    made.setup(WORKER)
    return made


def unit(vector: torch.Tensor) -> np.ndarray:
    return (vector / vector.norm()).numpy()


def by_hand(images: np.ndarray, resized: tuple[int, int], crop: int) -> torch.Tensor:
    """Resized by Pillow, cropped in the middle, normalised; ``[N, 3, crop, crop]``."""
    pictures = [np.asarray(Image.fromarray(image).resize(resized, Image.Resampling.BILINEAR)) for image in images]
    top, left = (resized[1] - crop) // 2, (resized[0] - crop) // 2
    pixels = np.stack(pictures)[:, top : top + crop, left : left + crop] / 255
    return torch.tensor((pixels - MEAN) / STD, dtype=torch.float32).permute(0, 3, 1, 2)


@pytest.mark.parametrize("make", [clip, siglip2, dinov2, dinov3], ids=lambda make: make.__name__)
def test_vectors_of_an_image_encoder_are_those_of_a_plain_loop(make: Make, tmp_path: Path) -> None:
    model, clips = saved(tmp_path, make), [frames(1, 3), frames(2, 5)]
    found = embedder(tmp_path).embed(clips)
    for each, vector in zip(clips, found, strict=True):
        if make is dinov3:  # the library's processor needs torchvision
            pixels = by_hand(each.images, (32, 32), 32)
        else:
            processor = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
            pixels = processor(images=list(each.images), return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            encode = getattr(model, "get_image_features", model)
            plain = torch.stack([encode(pixel_values=one[None]).pooler_output[0] for one in pixels])
        np.testing.assert_allclose(vector, unit(plain.mean(0)), atol=1e-4)


@pytest.mark.parametrize("count", [4, 9, 2], ids=["as many frames", "more frames", "fewer frames"])
@pytest.mark.parametrize("make", [videomae, xclip, vjepa2], ids=lambda make: make.__name__)
def test_vectors_of_a_video_encoder_are_those_of_a_plain_loop(make: Make, count: int, tmp_path: Path) -> None:
    model, given = saved(tmp_path, make), frames(3, count)
    made = embedder(tmp_path, frames_per_clip=8)
    assert (made.frames_per_clip, made.units_per_clip, made.largest_batch, made.clips_at_once) == (4, 1, 2, 16)
    taken = given.images[{4: [0, 1, 2, 3], 9: [1, 3, 5, 7], 2: [0, 0, 1, 1]}[count]]
    with torch.inference_mode():
        if make is vjepa2:
            pixels = by_hand(taken, (48, 36), 32)[None]
            plain = model.get_vision_features(pixels)[0].mean(0)
        else:
            processor = transformers.VideoMAEImageProcessorPil.from_pretrained(tmp_path)
            pixels = processor(list(taken), return_tensors="pt")["pixel_values"]
            if make is xclip:
                plain = model.get_video_features(pixel_values=pixels).pooler_output[0]
            else:
                plain = model(pixel_values=pixels).last_hidden_state[0].mean(0)
    np.testing.assert_allclose(made.embed([given])[0], unit(plain), atol=1e-4)


def test_vectors_do_not_depend_on_company(tmp_path: Path) -> None:
    saved(tmp_path, clip)
    made = embedder(tmp_path)
    units = np.concatenate([made.prepare(frames(seed, count)) for seed, count in ((1, 3), (2, 9), (3, 1))])
    alone = np.concatenate([made.encode(each[None].copy()) for each in units])
    np.testing.assert_allclose(
        made.encode_all([units[:4], units[4:5], units[5:]]), alone, atol=1e-5 * np.abs(alone).max()
    )


def test_half_precision_is_what_was_asked_and_near_the_whole(tmp_path: Path) -> None:
    saved(tmp_path, dinov2)
    whole, half = embedder(tmp_path), embedder(tmp_path, dtype="bfloat16")
    assert (whole.dtype, half.dtype) == ("float32", "bfloat16")
    assert half.embed([frames(1, 3)])[0] @ whole.embed([frames(1, 3)])[0] > 0.99


def test_a_classifiers_checkpoint_without_pooler_gives_its_first_token(tmp_path: Path) -> None:
    config = transformers.ViTConfig(**VISION, image_size=32)
    processor = transformers.ViTImageProcessorPil(size={"height": 32, "width": 32})
    model = saved(tmp_path, lambda: (transformers.ViTModel(config, add_pooling_layer=False), processor))
    pixels = processor(images=list(frames(1, 2).images), return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        plain = model(pixel_values=pixels).last_hidden_state[:, 0].mean(0)
    np.testing.assert_allclose(embedder(tmp_path).embed([frames(1, 2)])[0], unit(plain), atol=1e-4)


def test_setup_rejects_truncated_weights(tmp_path: Path) -> None:
    saved(tmp_path, dinov2)
    weights = tmp_path / "model.safetensors"
    size = weights.stat().st_size
    weights.write_bytes(weights.read_bytes()[: size // 2])
    with pytest.raises(ParamsError, match=rf"must have {size} bytes by its header, got {size // 2}\. Get it again"):
        TransformersEmbedder(EmbedParams(embedder="transformers", model=str(tmp_path))).identity()
    weights.write_bytes(b"")
    with pytest.raises(ParamsError, match="must be a safetensors file"):
        embedder(tmp_path)


def test_setup_rejects_weights_of_another_architecture(tmp_path: Path) -> None:
    saved(tmp_path, dinov2)
    weights = load_file(tmp_path / "model.safetensors")
    save_file({name: array for name, array in weights.items() if "layer.1" not in name}, tmp_path / "model.safetensors")
    with pytest.raises(
        ParamsError, match=r"must be those of its architecture, and \d+ are missing or of another shape"
    ):
        embedder(tmp_path)


def test_setup_rejects_patches_of_any_shape(tmp_path: Path) -> None:
    config = transformers.Siglip2Config(text_config=TEXT, vision_config={**VISION, "num_patches": 16})
    processor = transformers.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    saved(tmp_path, lambda: (transformers.Siglip2Model(config), processor))
    with pytest.raises(ParamsError, match="must have a processor that makes RGB pictures of one size"):
        embedder(tmp_path).prepare(frames(1, 2))
