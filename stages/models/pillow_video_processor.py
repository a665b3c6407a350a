"""Video processors of the `transformers` library with Pillow in the place of torchvision.

The library's own resize and crop by torchvision, which needs a build for the same torch. Here its classes keep all else
(which size, how frames become patches) and get these few operations; the same pixels come out on every machine.
"""

import importlib
import importlib.util
import itertools
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.image_transforms import get_resize_output_image_size, get_size_with_aspect_ratio
from transformers.image_utils import ChannelDimension
from transformers.utils.import_utils import is_torchvision_available
from transformers.video_processing_utils import BaseVideoProcessor

from stages.errors import ParamsError
from stages.models.checkpoints import read_json

_VIDEO_FILE, _IMAGE_FILE = "video_preprocessor_config.json", "preprocessor_config.json"
_TYPE = "VideoProcessor"


class _WithPillow(BaseVideoProcessor):
    """Stands behind a class of the library, whose own methods call these."""

    def convert_to_rgb(self, video: torch.Tensor) -> torch.Tensor:
        """Frames of the frame store are RGB."""
        return video

    def resize(
        self, image: torch.Tensor, size: Any, resample: Any = None, antialias: bool = True, **_: Any
    ) -> torch.Tensor:
        """Frames uint8 ``[..., 3, H, W]``, each resized by Pillow."""
        height, width = _target(image, size)
        method = Image.Resampling(resample if resample is not None else Image.Resampling.BILINEAR)
        frames = image.reshape(-1, *image.shape[-3:]).permute(0, 2, 3, 1).numpy()
        resized = np.stack([np.asarray(Image.fromarray(frame).resize((width, height), method)) for frame in frames])
        return torch.from_numpy(resized).permute(0, 3, 1, 2).reshape(*image.shape[:-2], height, width)

    def normalize(self, image: torch.Tensor, mean: Any, std: Any, inplace: bool = False, **_: Any) -> torch.Tensor:
        """Float32; `mean` and `std` have a value a channel."""
        centre, spread = (torch.as_tensor(values, dtype=torch.float32).view(-1, 1, 1) for values in (mean, std))
        return (image - centre) / spread

    def center_crop(self, image: torch.Tensor, size: Any, **_: Any) -> torch.Tensor:
        """The middle, with black around it where the picture is smaller."""
        sides = zip((size.height, size.width), image.shape[-2:], strict=True)
        missing = [max(0, wanted - had) for wanted, had in sides]
        before = [lack // 2 for lack in missing]
        after = [lack - first for lack, first in zip(missing, before, strict=True)]
        padded = torch.nn.functional.pad(image, (before[1], after[1], before[0], after[0]))
        top, left = (padded.shape[-2] - size.height) // 2, (padded.shape[-1] - size.width) // 2
        return padded[..., top : top + size.height, left : left + size.width]


def _target(image: torch.Tensor, size: Any) -> tuple[int, int]:
    """Height and width after resizing, as the library's own backend decides it."""
    if size.shortest_edge and size.longest_edge:
        return get_size_with_aspect_ratio(image.shape[-2:], size.shortest_edge, size.longest_edge)
    if size.shortest_edge:
        first = image.reshape(-1, *image.shape[-3:])[0].numpy()
        found = get_resize_output_image_size(
            first, size=size.shortest_edge, default_to_square=False, input_data_format=ChannelDimension.FIRST
        )
        return int(found[0]), int(found[1])
    return int(size.height), int(size.width)


def load_video_processor(folder: Path, model_type: str, param: str) -> Any:
    """The video processor of a checkpoint in a folder.

    Args:
        folder: of the checkpoint.
        model_type: of its ``config.json``.
        param: name of the parameter, for messages.

    Raises:
        ParamsError: the library has none of that name.
    """
    settings = _settings(folder, param)
    named = str(settings.get("video_processor_type") or settings.get("image_processor_type") or "")
    kind = named.removesuffix("Fast").removesuffix("Pil").replace("ImageProcessor", _TYPE)
    found = _class_of(kind) or _class_of_model(model_type)
    if found is None:
        raise ParamsError(
            f"{param} must have a video processor of transformers, got {named or 'none'} in {folder}. Serve it "
            "instead: caption.captioner=vllm.",
            param,
        )
    made: Any = type(found.__name__, (found, _WithPillow), {})
    # None means today's default of the library, which is about to change; true is what the models were trained with.
    capped = {"cap_pixels_per_frame": True} if getattr(found, "cap_pixels_per_frame", True) is None else {}
    return made.from_dict({**capped, **settings})


def _settings(folder: Path, param: str) -> Mapping[str, Any]:
    nested = folder / "processor_config.json"
    if nested.is_file() and (found := read_json(nested, param).get("video_processor")):
        return found
    path = next((folder / name for name in (_VIDEO_FILE, _IMAGE_FILE) if (folder / name).is_file()), None)
    return {} if path is None else read_json(path, param)


def _class_of(name: str) -> Any:
    """The class of a name, by the library's rule: ``Qwen2VLVideoProcessor`` is in ``video_processing_qwen2_vl``."""
    stem = name.removesuffix(_TYPE).replace("_", "").lower()
    models = importlib.util.find_spec("transformers.models")
    places = models.submodule_search_locations if models is not None else None
    folders = sorted(each.name for place in places or () for each in Path(place).iterdir())
    return next((_class_in(each, name) for each in folders if stem and each.replace("_", "") == stem), None)


def _class_of_model(model_type: str) -> Any:
    return _class_in(model_type.replace("-", "_"), "")


def _class_in(model: str, name: str) -> Any:
    """The class of a model's module; its only one where no name is given."""
    dotted = f"transformers.models.{model}.video_processing_{model}"
    try:
        with _nameable_torchvision():
            module = importlib.import_module(dotted)
    except ImportError:
        return None
    return getattr(module, name or module.__all__[0], None)


@contextmanager
def _nameable_torchvision() -> Iterator[None]:
    """Let modules be imported that import torchvision, and then name it in annotations or in what is replaced here."""
    if is_torchvision_available():
        yield
        return
    parts = ["torchvision", "transforms", "v2", "functional"]
    names = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
    made = {name: ModuleType(name) for name in names}
    for above, name in itertools.pairwise(names):
        setattr(made[above], name.rpartition(".")[2], made[name])
    for name, module in made.items():
        module.__spec__ = ModuleSpec(name, None)
    sys.modules.update(made)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
