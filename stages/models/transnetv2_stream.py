"""TransNetV2 over a whole video as one window of any length, each frame computed once.

A window of 100 frames gives 50 outputs, so that windows compute every frame twice. Here each layer keeps what the next
frames need of those before them: each block 16 frames of its spatial convolutions, each comparison 100 vectors.
"""

import torch
from torch import Tensor
from torch.nn import functional

from stages.models.transnetv2_network import (
    FILTERS,
    REACH,
    SIMILARITY_RADIUS,
    BlockStack,
    TransNetV2,
    histograms,
)

STACK_DELAY = 2 * REACH
STACKS_DELAY = STACK_DELAY * len(FILTERS)
OUTPUT_DELAY = STACKS_DELAY + SIMILARITY_RADIUS
"""Frames by which outputs lag behind the pictures."""


class _Delay:
    """Gives rows back so many rows later; zeros come first."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._held: Tensor | None = None

    def __call__(self, rows: Tensor) -> Tensor:
        held = rows.new_zeros(self._rows, *rows.shape[1:]) if self._held is None else self._held
        joined = torch.cat([held, rows])
        self._held = joined[len(rows) :]
        return joined[: len(rows)]


class _Extent:
    """Which rows of a layer are frames of the video. The others count as zero, as frames outside of a window do.

    Attributes:
        first: number of the frame that is pushed next.
        end: frames of the video; None while it is not known.
    """

    def __init__(self) -> None:
        self.first = 0
        self.end: int | None = None

    def mask(self, rows: Tensor, delay: int) -> Tensor:
        """Set rows outside of the video to zero, in place; they lag so many frames behind those pushed."""
        first = self.first - delay
        rows[: max(0, -first)] = 0
        if self.end is not None:
            rows[max(0, self.end - first) :] = 0
        return rows


class _StackStream:
    """A stack over a stream; its outputs lag by `STACK_DELAY` frames.

    Args:
        stack: of the network.
        extent: of the video.
        delay: by how many frames the inputs lag.
    """

    def __init__(self, stack: BlockStack, extent: _Extent, delay: int) -> None:
        self._stack = stack
        self._extent = extent
        self._delay = delay
        self._past: list[Tensor] = []
        self._shortcut: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Map ``[T, C, H, W]`` to ``[T, 4 * filters, H // 2, W // 2]``."""
        first, second = self._stack.first, self._stack.second
        past = self._past or [first.no_past(x), second.no_past(x)]
        shortcut = self._extent.mask(first(x, past[0]).relu_(), self._delay + REACH)
        joined = second(shortcut, past[1]).relu_()
        joined[REACH:] += shortcut[:-REACH]
        if self._shortcut is not None:
            joined[:REACH] += self._shortcut
        self._past, self._shortcut = past, shortcut[-REACH:].clone()
        return self._extent.mask(functional.avg_pool2d(joined, 2), self._delay + STACK_DELAY)


class _Neighbours:
    """Similarity of each frame to its neighbours over a stream; lags by `SIMILARITY_RADIUS` frames."""

    def __init__(self) -> None:
        self._vectors: Tensor | None = None

    def __call__(self, vectors: Tensor) -> Tensor:
        """Map unit vectors, or zeros, ``[T, D]``, to ``[T, 101]``."""
        frames, size = vectors.shape
        around = 2 * SIMILARITY_RADIUS
        before = vectors.new_zeros(around, size) if self._vectors is None else self._vectors
        joined = torch.cat([before, vectors])
        self._vectors = joined[frames:]
        products = joined[SIMILARITY_RADIUS : SIMILARITY_RADIUS + frames] @ joined.T
        # Row r belongs to row r + 50 of all, whose neighbours start at column r.
        return products.as_strided((frames, around + 1), (around + frames + 1, 1))


class TransNetV2Stream:
    """One video through the network.

    Args:
        network: from `load_transnetv2`; one stream at a time uses it.
    """

    def __init__(self, network: TransNetV2) -> None:
        self._network = network
        self._extent = _Extent()
        self._stacks, self._means = list[_StackStream](), list[_Delay]()
        for number, stack in enumerate(network.stacks):
            assert isinstance(stack, BlockStack)
            self._stacks.append(_StackStream(stack, self._extent, STACK_DELAY * number))
            self._means.append(_Delay(STACK_DELAY * (len(FILTERS) - 1 - number)))
        self._pictures, self._features = _Delay(STACKS_DELAY), _Delay(SIMILARITY_RADIUS)
        self._colours, self._projections = _Neighbours(), _Neighbours()

    def end(self, num_frames: int) -> None:
        """Tell the length of the video: what is pushed beyond it counts as nothing."""
        self._extent.end = num_frames

    @torch.inference_mode()  # the reused buffers rule out gradients
    def push(self, pictures: Tensor) -> Tensor:
        """Probabilities of as many frames, `OUTPUT_DELAY` before those pushed: float32 ``[2, T]``, see `TransNetV2`.

        Args:
            pictures: uint8 ``[T, 27, 48, 3]``, RGB; T at least `REACH`.
        """
        network, extent = self._network, self._extent
        x = extent.mask(pictures.permute(0, 3, 1, 2).float().div_(255.0), 0).to(network.stacks_dtype)
        means: list[Tensor] = []
        for stack, delay in zip(self._stacks, self._means, strict=True):
            x = stack(x)
            means.append(delay(x.mean((2, 3), dtype=torch.float32)))
        projected = functional.normalize(network.projection(torch.cat(means, 1)), dim=1)
        colours = histograms(self._pictures(pictures))
        probabilities = network.classify(
            self._colours(extent.mask(colours, STACKS_DELAY)),
            self._projections(extent.mask(projected, STACKS_DELAY)),
            self._features(x.permute(0, 2, 3, 1).flatten(1).float()),
        )
        extent.first += len(pictures)
        return probabilities
