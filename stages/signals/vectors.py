"""Motion vectors of the codec, two samples a second; NeMo Curator's motion score, for any span."""

from array import array
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from numpy.typing import NDArray

from stages.signals.frame_pictures import FramePictures
from stages.signals.recorder import Recorder
from stages.signals.samples import Samples, concatenated
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

    def joined(self, sections: Sequence[Samples]) -> Samples:
        """The first sample from each sampling position to the next.

        A section does not know whether the one before it has taken one of the position that it begins behind.
        """
        found = concatenated(sections)
        _, first = np.unique(found.frame // self._step, return_index=True)
        return Samples(found.frame[first], {name: values[first] for name, values in found.values.items()})

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
    painter = _Painter(left, top, vectors, size)
    lengths = np.hypot(vectors["motion_x"], vectors["motion_y"]) / np.maximum(vectors["motion_scale"], 1)
    values = np.append(lengths / (size.height + size.width), 0.0).astype(np.float32)
    grid = values[painter.last_blocks()]  # -1, no block, is the 0 at the end
    return painter.mean_over_pixels(grid), painter.patch_means(grid)


class _Bands:
    """Pixels of one axis in bands, each of which a block covers wholly or not at all.

        blocks on a grid of 8 pixels    0 | 1 ... 7 | 8 ... 15 | ... | n-1

    The first and last pixel are bands of their own: blocks that reach beyond the frame apply there too.

    Attributes:
        band: ``[length]``, the band of each pixel.
        lengths: pixels of each band.
        inner_offsets: from the start of a block inside the frame to one pixel of each band that it covers.
        edge_offsets: the same of a block that reaches an edge, or lies beyond it.
    """

    def __init__(self, length: int, cell: int) -> None:
        last = (length - 1) % 8
        starts = np.unique([0, min(1, length - 1), *range(0, length, cell), length - 1])
        self.band = np.searchsorted(starts, np.arange(length), side="right") - 1
        self.lengths = np.diff([*starts, length])
        self.inner_offsets = np.arange(0, 16, cell)
        self.edge_offsets = np.unique([0, 1, last, 8, 9, 8 + last]) if cell > 1 else self.inner_offsets

    def covered(self, start: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bands ``[N, offsets]`` at each offset from the starts of blocks; beyond an edge that of the edge."""
        return self.band[np.clip(start[:, None] + offsets, 0, len(self.band) - 1)]

    def centres(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Bands of the two pixels around the centre of each patch."""
        length = len(self.band)
        before = np.arange(round(length / PATCH_PX)) * PATCH_PX + PATCH_PX // 2 - 1
        return self.band[np.minimum(before, length - 1)], self.band[np.minimum(before + 1, length - 1)]


class _Painter:
    """Finds the block that applies at each place of a frame: the last of those that cover it."""

    def __init__(self, left: NDArray[np.int32], top: NDArray[np.int32], vectors: NDArray[np.void], size: Size) -> None:
        cell = 1 if (left % 8).any() or (top % 8).any() else 8
        self._across, self._down = _Bands(size.width, cell), _Bands(size.height, cell)
        self._left, self._top = left, top
        self._width, self._height = vectors["w"].astype(np.int32), vectors["h"].astype(np.int32)
        self._is_edge = (left <= 0) | (left + self._width >= size.width)
        self._is_edge |= (top <= 0) | (top + self._height >= size.height)

    def last_blocks(self) -> NDArray[np.int32]:
        """Number of the block that applies in each band of rows and columns; -1 for none."""
        down, across = self._down, self._across
        inner = self._painted(~self._is_edge, down.inner_offsets, across.inner_offsets)
        edge = self._painted(self._is_edge, down.edge_offsets, across.edge_offsets)
        return np.maximum(inner, edge)

    def mean_over_pixels(self, grid: NDArray[np.float32]) -> float:
        """Mean of the values of a grid of bands, weighted by their pixels."""
        pixels = len(self._down.band) * len(self._across.band)
        return float(self._down.lengths @ grid.astype(np.float64) @ self._across.lengths) / pixels

    def patch_means(self, grid: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean of the four pixels around the centre of each patch."""
        corners = [grid[np.ix_(row, column)] for row in self._down.centres() for column in self._across.centres()]
        return np.stack(corners).mean(axis=0, dtype=np.float32)

    def _painted(
        self, chosen: NDArray[np.bool_], down: NDArray[np.int64], across: NDArray[np.int64]
    ) -> NDArray[np.int32]:
        painted = np.full((len(self._down.lengths), len(self._across.lengths)), -1, np.int32)
        numbers = np.flatnonzero(chosen)
        rows = self._down.covered(self._top[numbers], down)[:, :, None]
        columns = self._across.covered(self._left[numbers], across)[:, None, :]
        covered = (down < self._height[numbers, None])[:, :, None] & (across < self._width[numbers, None])[:, None, :]
        rows, columns, values = np.broadcast_arrays(rows, columns, numbers[:, None, None])
        # NumPy keeps the last value assigned to a repeated index, so later blocks overwrite earlier ones.
        painted[rows[covered], columns[covered]] = values[covered]
        return painted
