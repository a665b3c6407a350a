"""Motion vectors of the codec, two samples a second; NeMo Curator's motion score, for any span."""

from array import array
from fractions import Fraction
from typing import Any

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from numpy.typing import NDArray

from stages.signals.frame_pictures import FramePictures
from stages.signals.recorder import Recorder
from stages.signals.samples import Samples
from stages.tasks import Row, Size

PATCH_PX = 256
BLOCKS = ((8, 8), (16, 16), (16, 8), (8, 16))
VECTOR_SAMPLES_PER_S = 2


class VectorRecorder(Recorder):
    """Records the mean length of the motion vectors, as a fraction of height plus width, and that of each patch.

    A sample is the first frame with vectors at or after its sampling position: keyframes carry none. A frame with a
    side below 256 pixels has none.

    Args:
        rate: the stream's average frames per second; None samples every frame.
    """

    name = "vectors"
    clip_columns = ("vectors_mean", "vectors_patch_min")

    def __init__(self, rate: Fraction | None) -> None:
        self._step = max(1, round((rate or 0) / VECTOR_SAMPLES_PER_S))
        self._next = 0
        self._size: tuple[int, int] | None = None
        self._frames, self._means = array("q"), array("d")
        self._patches: list[NDArray[np.float32]] = []

    def push(self, pictures: FramePictures) -> None:
        """Add the next frame."""
        decoded = pictures.decoded
        frame = decoded.frame
        if decoded.index < self._next or min(frame.width, frame.height) < PATCH_PX:
            return
        # frame.side_data would make a reference cycle: decoded frames would then stay until the garbage collector runs.
        side_data: Any = SideDataContainer(frame).get(Type.MOTION_VECTORS)  # type: ignore[call-arg] - stub
        if side_data is None or self._size not in (None, (frame.width, frame.height)):
            return
        self._size = (frame.width, frame.height)
        self._next = (decoded.index // self._step + 1) * self._step
        mean, patches = vector_lengths(side_data.to_ndarray(), Size(*self._size))
        self._frames.append(decoded.index)
        self._means.append(mean)
        self._patches.append(patches.ravel())

    def samples(self) -> Samples:
        """``vectors`` ``[N]`` and ``vectors_patches`` ``[N, patches]``."""
        patches = np.stack(self._patches) if self._patches else np.zeros((0, 1), np.float32)
        frames = np.frombuffer(self._frames, np.int64) if self._frames else np.zeros(0, np.int64)
        return Samples(frames, {"vectors": np.array(self._means, np.float64), "vectors_patches": patches})

    @classmethod
    def reduce(cls, samples: Samples, start: int, end: int) -> Row:
        """Mean over the samples, and of the patch with the least motion; None where no frame carries vectors."""
        inside = samples.within(start, end)
        if not len(inside):
            return dict.fromkeys(cls.clip_columns)
        means: list[float] = inside["vectors"].tolist()
        patches = np.mean(inside["vectors_patches"], axis=0)
        return {"vectors_mean": sum(means) / len(means), "vectors_patch_min": float(patches.min())}


def vector_lengths(vectors: NDArray[np.void], size: Size) -> tuple[float, NDArray[np.float32]]:
    """Mean vector length over all pixels, and the length of each 256x256 patch, both divided by height plus width.

    A vector applies to the pixels of its block; where blocks overlap, the later vector applies. Blocks other than
    8x8, 16x16, 16x8 and 8x16 are ignored. A patch's length is the mean of the four pixels around its centre, as
    bilinear scaling to 1/256 computes it.

    Args:
        vectors: structured array with w, h, dst_x, dst_y, motion_x, motion_y and motion_scale.
        size: of the frame.

    Returns:
        The mean, and float32 ``[round(height / 256), round(width / 256)]``.
    """
    counted = [(vectors["w"] == width) & (vectors["h"] == height) for width, height in BLOCKS]
    vectors = vectors[np.logical_or.reduce(counted)] if len(vectors) else vectors
    left = vectors["dst_x"].astype(np.int32) - vectors["w"] // 2
    top = vectors["dst_y"].astype(np.int32) - vectors["h"] // 2
    cell = _cell_size(left, top, size)
    lengths = np.hypot(vectors["motion_x"], vectors["motion_y"]) / np.maximum(vectors["motion_scale"], 1)
    grid = np.zeros((-(-size.height // cell), -(-size.width // cell)), np.float32)
    steps = np.arange(0, 16, cell)
    down, right = (part.ravel() for part in np.meshgrid(steps, steps, indexing="ij"))
    inside = (right < vectors["w"][:, None]) & (down < vectors["h"][:, None])
    rows = np.clip((top[:, None] + down) // cell, 0, grid.shape[0] - 1)
    columns = np.clip((left[:, None] + right) // cell, 0, grid.shape[1] - 1)
    # NumPy keeps the last value assigned to a repeated index, so later vectors overwrite earlier ones.
    values = np.broadcast_to((lengths / (size.height + size.width))[:, None], inside.shape)
    grid[rows[inside], columns[inside]] = values[inside]
    return _mean_over_pixels(grid, cell, size), _patch_means(grid, cell, size)


def _cell_size(left: NDArray[np.int32], top: NDArray[np.int32], size: Size) -> int:
    """8 where all blocks lie inside the frame on a grid of 8 pixels, as with most codecs; else 1."""
    aligned = not ((left % 8).any() or (top % 8).any())
    outside = (left < 0).any() or (top < 0).any() or (left >= size.width).any() or (top >= size.height).any()
    return 8 if aligned and not outside else 1


def _mean_over_pixels(grid: NDArray[np.float32], cell: int, size: Size) -> float:
    """Mean weighted by the pixels of each cell; cells of the last row and column may extend beyond the frame."""
    heights = np.minimum(cell, size.height - cell * np.arange(grid.shape[0]))
    widths = np.minimum(cell, size.width - cell * np.arange(grid.shape[1]))
    return float(heights @ grid.astype(np.float64) @ widths) / (size.height * size.width)


def _patch_means(grid: NDArray[np.float32], cell: int, size: Size) -> NDArray[np.float32]:
    def centre_cells(length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        before = np.arange(round(length / PATCH_PX)) * PATCH_PX + PATCH_PX // 2 - 1
        return np.minimum(before, length - 1) // cell, np.minimum(before + 1, length - 1) // cell

    rows, columns = centre_cells(size.height), centre_cells(size.width)
    corners = np.stack([grid[np.ix_(row, column)] for row in rows for column in columns])
    return corners.mean(axis=0, dtype=np.float32)
