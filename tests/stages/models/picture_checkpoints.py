"""Small random checkpoints of image and video encoders and of a classifier, with their processors."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Make = Callable[[], tuple[Any, Any]]

VISION = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 8}
TEXT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 99}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SETTINGS = {
    "do_resize": True,
    "resample": 2,
    "do_rescale": True,
    "do_normalize": True,
    "image_mean": MEAN,
    "image_std": STD,
}


def _library() -> Any:
    """The library, which tests that do without it need not have."""
    return importlib.import_module("transformers")


def clip() -> tuple[Any, Any]:
    transformers = _library()

    config = transformers.CLIPConfig(text_config=TEXT, vision_config={**VISION, "image_size": 32}, projection_dim=24)
    square = {"height": 32, "width": 32}
    processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=square)
    return transformers.CLIPModel(config), processor


def siglip2() -> tuple[Any, Any]:
    """SigLIP 2 at a fixed resolution has the architecture of SigLIP."""
    transformers = _library()

    config = transformers.SiglipConfig(text_config=TEXT, vision_config={**VISION, "image_size": 32})
    return transformers.SiglipModel(config), transformers.SiglipImageProcessorPil(size={"height": 32, "width": 32})


def dinov2() -> tuple[Any, Any]:
    transformers = _library()

    square = {"height": 32, "width": 32}
    processor = transformers.BitImageProcessorPil(size={"shortest_edge": 40}, crop_size=square)
    return transformers.Dinov2Model(transformers.Dinov2Config(**VISION, image_size=32)), processor


def dinov3() -> tuple[Any, Any]:
    transformers = _library()

    config = transformers.DINOv3ViTConfig(**VISION, image_size=32, num_register_tokens=2)
    settings = {**SETTINGS, "size": {"height": 32, "width": 32}, "image_processor_type": "DINOv3ViTImageProcessor"}
    return transformers.DINOv3ViTModel(config), settings


def videomae() -> tuple[Any, Any]:
    transformers = _library()

    config = transformers.VideoMAEConfig(**VISION, image_size=32, num_frames=4, tubelet_size=2)
    processor = transformers.VideoMAEImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    return transformers.VideoMAEModel(config), processor


def xclip() -> tuple[Any, Any]:
    transformers = _library()

    vision = {**VISION, "image_size": 32, "num_frames": 4, "mit_hidden_size": 24, "mit_num_attention_heads": 2}
    vision |= {"mit_intermediate_size": 24, "mit_num_hidden_layers": 1}
    config = transformers.XCLIPConfig(text_config=TEXT, vision_config=vision, projection_dim=24)
    processor = transformers.VideoMAEImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    return transformers.XCLIPModel(config), processor


def vjepa2() -> tuple[Any, Any]:
    transformers = _library()

    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2.0, "patch_size": 8}
    predictor = {"pred_hidden_size": 24, "pred_num_hidden_layers": 1, "pred_num_attention_heads": 2}
    config = transformers.VJEPA2Config(**shape, **predictor, crop_size=32, frames_per_clip=4, tubelet_size=2)
    crop = {"height": 32, "width": 32}
    settings = {**SETTINGS, "size": {"shortest_edge": 36}, "crop_size": crop, "do_center_crop": True}
    return transformers.VJEPA2Model(config), {**settings, "video_processor_type": "VJEPA2VideoProcessor"}


def saved(folder: Path, make: Make) -> Any:
    """Save the checkpoint; returns the model."""
    transformers = _library()

    transformers.set_seed(1)
    model, processor = make()
    model.eval().save_pretrained(folder)
    if isinstance(processor, dict):
        name = "video_preprocessor_config.json" if "video_processor_type" in processor else "preprocessor_config.json"
        (folder / name).write_text(json.dumps(processor))
    else:
        processor.save_pretrained(folder)
    return model


LABELS = ("drawing", "neutral", "porn", "sexy")


def vit_classifier(hidden: int = 32) -> Any:
    transformers = _library()

    config = transformers.ViTConfig(
        hidden_size=hidden,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=2,
        patch_size=8,
        image_size=32,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    transformers.set_seed(1)
    return transformers.ViTForImageClassification(config)


def save_classifier(folder: Path) -> Path:
    """A classifier with its processor, in this folder."""
    transformers = _library()

    vit_classifier().save_pretrained(folder)
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder
