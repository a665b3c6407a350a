"""Runs the two models of rapidocr: one finds text, one reads it."""

import functools
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from omegaconf import flag_override
from rapidocr import RapidOCR

from stages import heartbeat
from stages.errors import StageError
from stages.models.onnx_sessions import open_session
from stages.models.text_reader import WANTED_BY, TextBox


class Reader:
    """Both models in this process. See `stages.models.text_reader`."""

    def __init__(self, detector: str, recognizer: str, device: str, num_threads: int, short_side_px: int) -> None:
        self._engine = RapidOCR(
            params={
                "Global.log_level": "error",
                "Global.use_cls": False,  # whether text stands on its head
                "Global.text_score": 0.0,  # the caller decides
                "Det.limit_side_len": short_side_px,
            }
        )
        # Sessions of our own: left to itself it would download what it misses.
        with flag_override(self._engine.cfg, "allow_objects", True):
            for task, path in ((self._engine.cfg.Det, detector), (self._engine.cfg.Rec, recognizer)):
                task.session = open_session(path, device, num_threads, wanted_by=WANTED_BY)

    def read(self, image: NDArray[np.uint8]) -> list[TextBox]:
        """The text of an RGB image, uint8 ``[H, W, 3]``, from the top down."""
        heartbeat.beat()
        found: Any = self._engine(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        texts, confidences, quads = found.txts or (), found.scores or (), found.boxes
        boxes: list[TextBox] = []
        for text, confidence, quad in zip(texts, confidences, () if quads is None else quads, strict=True):
            (left, top), (right, bottom) = np.min(quad, axis=0), np.max(quad, axis=0)
            edges = [float(edge) for edge in (left, top, right, bottom)]
            if not np.isfinite([*edges, confidence]).all():
                raise StageError(
                    f"{WANTED_BY} must get finite numbers from its models, got box {edges}, confidence {confidence}. "
                    "Install rapidocr and onnxruntime again."
                )
            boxes.append(TextBox(edges[0], edges[1], edges[2], edges[3], text, float(confidence)))
        return boxes


@functools.lru_cache(maxsize=2)
def _reader(detector: str, recognizer: str, device: str, num_threads: int, short_side_px: int) -> Reader:
    return Reader(detector, recognizer, device, num_threads, short_side_px)


def load(detector: str, recognizer: str, device: str, num_threads: int, short_side_px: int) -> Reader:
    """The models on this device, one copy per process.

    Raises:
        ParamsError: a model is damaged.
    """
    return _reader(detector, recognizer, device, max(1, num_threads), short_side_px)
