"""Pictures as a checkpoint of the `transformers` library takes them: bytes of its input size, and how to make floats.

Resizing and cropping are the library's own where its processor works without torchvision. Those of DINOv3 and of video
encoders do not; for them the same steps are done here, by the checkpoint's own settings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoImageProcessor

from stages.errors import ParamsError
from stages.models.checkpoints import read_json

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_FILES = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True)
class Normalisation:
    """How floats are made of bytes: ``(byte * scale - mean) / std``, one mean and deviation a channel."""

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Normalisation":
        """Those of a processor's settings; ImageNet's where it normalises and does not say by what."""
        scale = float(settings.get("rescale_factor") or 1 / 255) if settings.get("do_rescale", True) else 1.0
        if not settings.get("do_normalize", True):
            return cls(scale, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        mean, std = settings.get("image_mean") or IMAGENET_MEAN, settings.get("image_std") or IMAGENET_STD
        return cls(scale, tuple(map(float, mean)), tuple(map(float, std)))


class LibraryProcessor:
    """The library's processor, without its conversion to floats."""

    def __init__(self, processor: Any, param: str) -> None:
        self._processor, self._param = processor, param
        self.normalisation = Normalisation.of(vars(processor))

    def prepare(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pictures of the input size, uint8 ``[N, h, w, 3]``, of such as ``[H, W, 3]``, of any sizes.

        Raises:
            ParamsError: the processor makes no bytes of one size.
        """
        made = self._processor(images=list(images), do_rescale=False, do_normalize=False)["pixel_values"]
        pixels = np.stack([np.asarray(each) for each in made])
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3:
            raise ParamsError(
                f"{self._param} must have a processor that makes RGB pictures of one size, got {pixels.dtype} "
                f"{list(pixels.shape[1:])} from {type(self._processor).__name__}.",
                self._param,
            )
        return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))


class PlainProcessor:
    """Resizes and crops by a processor's settings, with Pillow, as the library's Pillow processors do."""

    def __init__(self, settings: Mapping[str, Any], param: str) -> None:
        self.normalisation = Normalisation.of(settings)
        self._size = _sides(settings.get("size") or 224, param)
        self._resample = Image.Resampling(settings.get("resample", Image.Resampling.BILINEAR))
        crop = settings.get("crop_size")
        self._crop = _sides(crop, param, is_square=True) if crop and settings.get("do_center_crop", True) else None

    def prepare(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """As `LibraryProcessor.prepare`."""
        return np.stack([self._prepared(image) for image in images])

    def _prepared(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = image.shape[:2]
        target = self._size or (height, width)
        if len(target) == 1:
            (shortest,) = target
            longest = int(shortest * max(height, width) / min(height, width))
            target = (shortest, longest) if height <= width else (longest, shortest)
        resized = np.asarray(Image.fromarray(image).resize((target[1], target[0]), self._resample))
        return resized if self._crop is None else _centre(resized, *self._crop)


Processor = LibraryProcessor | PlainProcessor


def load_processor(folder: Path, *, is_video: bool, param: str = "embed.model") -> Processor:
    """The processor of a checkpoint in a folder, which a parameter names.

    Raises:
        ParamsError: the checkpoint has none, or none for pictures of a fixed size.
    """
    settings = _settings(folder, param)
    kind = str(settings.get("image_processor_type") or settings.get("video_processor_type") or "")
    if is_video or kind.startswith("DINOv3"):
        return PlainProcessor(settings, param)
    try:
        processor = _library_processor(folder, kind)
    except (OSError, ValueError, ImportError) as error:
        text = f"{param} must be an image encoder or classifier with a processor that transformers can load: {error}"
        raise ParamsError(text, param) from error
    return LibraryProcessor(processor, param)


def _library_processor(folder: Path, kind: str) -> Any:
    """The library's processor, always by Pillow: with torchvision installed, its resampling would give other vectors.

    Before 5.23 the library finds none without torchvision, though it has the classes.
    """
    try:
        return AutoImageProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False)
    except ImportError:
        name = f"{kind.removesuffix('Fast').removesuffix('Pil')}Pil"
        if (named := getattr(transformers, name, None)) is None:
            raise
        return named.from_pretrained(folder)


def _settings(folder: Path, param: str) -> Mapping[str, Any]:
    for name in _FILES:
        if (folder / name).is_file():
            settings = read_json(folder / name, param)
            return settings.get("image_processor") or settings.get("video_processor") or settings
    raise ParamsError(
        f"{param} must be an image encoder or classifier with one of {', '.join(_FILES)}, got {folder} without.", param
    )


def _sides(size: Any, param: str, *, is_square: bool = False) -> tuple[int, ...]:
    """Height and width, or the shorter side alone, of any form in which a processor's settings give a size.

    Raises:
        ParamsError: it is of another form.
    """
    if isinstance(size, int):
        return (size, size) if is_square else (size,)
    if "height" in size and "width" in size:
        return int(size["height"]), int(size["width"])
    if "shortest_edge" in size:
        return (int(size["shortest_edge"]),)
    raise ParamsError(f"{param} must resize to height and width, or a shortest_edge, got {size}.", param)


def _centre(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The middle of a picture, with black around it where it is smaller."""
    missing = [max(0, wanted - had) for wanted, had in zip((height, width), image.shape[:2], strict=True)]
    if any(missing):
        image = np.pad(image, [*(((lack + 1) // 2, lack // 2) for lack in missing), (0, 0)])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]
