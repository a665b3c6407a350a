"""Finds and reads text in pictures with PP-OCR models, which the package rapidocr carries. Light to import."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import lazy
from stages.models.extras import extra_file
from stages.models.weights import file_hash

EXTRA = "filters"
WANTED_BY = "filter 'text'"


@dataclass(frozen=True, slots=True)
class TextBox:
    """Text in a picture.

    Attributes:
        left: in pixels, as the other three; the smallest upright rectangle around the text.
        top: upper edge.
        right: one past the last column.
        bottom: one past the last line.
        text: as read.
        confidence: that it is read right, 0 to 1.
    """

    left: float
    top: float
    right: float
    bottom: float
    text: str
    confidence: float


def text_models() -> dict[str, str]:
    """By task, the path of its model: detection and recognition.

    Raises:
        ParamsError: the extra is not installed.
    """
    return {task: str(extra_file(EXTRA, "rapidocr", f"models/*_{task}_*.onnx", WANTED_BY)) for task in ("det", "rec")}


class TextReader:
    """Both models, loaded in this process.

    Args:
        device: as `WorkerMetadata.device`; the models run there where this installation of onnxruntime can.
        num_threads: as `WorkerMetadata.num_threads`.
        short_side_px: smaller pictures are scaled up to it before text is looked for.

    Raises:
        ParamsError: the extra is not installed, or a model is damaged.
    """

    def __init__(self, device: str = "cpu", num_threads: int = 1, *, short_side_px: int = 224) -> None:
        models = text_models()
        load = lazy.load("stages.models.rapidocr_reader:load", wanted_by=WANTED_BY)
        self._reader: Any = load(models["det"], models["rec"], device, num_threads, short_side_px)

    @staticmethod
    def weights_hash() -> str:
        """Hash of both models, as it enters keys.

        Raises:
            ParamsError: the extra is not installed.
        """
        return "-".join(file_hash(path) for path in text_models().values())

    def read(self, image: NDArray[np.uint8]) -> list[TextBox]:
        """The text of an RGB image, uint8 ``[H, W, 3]``, from the top down.

        Raises:
            StageError: a model gave numbers that are not finite.
        """
        return self._reader.read(image)
