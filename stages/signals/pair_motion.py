"""Motion between two pictures of a video: how the camera moved, and what moved besides.

Dense optical flow is averaged over cells of 8 x 8 pixels, made exact to some hundredths of a pixel by one step of Lucas
and Kanade, and explained by a camera that pans, tilts, zooms and rolls: a similarity that most cells agree on. What
the noise of the two pictures explains as well is taken off.
"""

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.signals.cell_grid import CELL_PX, Floats, Grid, grid_of

Luma = NDArray[np.uint8]

LONG_SIDE_PX = 160
SHORT_SIDE_PX = 32
"""OpenCV's DIS flow crashes the process on images that are wide and lower than this (160x28 does, 160x32 does not)."""

MAX_REFINEMENT_PX = 0.5
"""Largest correction of a cell's flow; a larger one follows a false match."""
NOISE_SLOPE = 12 / 64
"""Mean square of the slopes that noise makes, as a share of its variance: the squared weights of a Sobel filter."""
GRADIENT_NOISE = 2.0
"""Variance, in grey levels squared, that holds back the correction of cells without texture."""
FULL_TRUST = 50.0
"""Mean square of a cell's slopes, in grey levels a pixel, from which on the fit trusts it fully."""
MIN_NOISE = 0.2
"""Least variance of the difference of two pictures, in grey levels squared: that of rounding them to whole levels."""

FIT_ITERATIONS = 4
MIN_OUTLIER_PX = 0.15
MAX_OUTLIER_PX = 3.0
"""Bounds of the distance to the model from which on a cell counts for nothing."""

MIN_STILL = 0.2
"""Least share of the textured cells at the edges that stand still under a camera that does."""
STILL_ADVANTAGE = 1.5
"""Least number of cells that stand still, over those that move as the model has it. What stands still under a moving
camera, such as a subject that it follows, is not at the edges."""
AGREEMENT = 0.1
"""Distance to the model, as a share of its motion, of cells that agree with it."""

CAMERA_EVIDENCE = 40.0
CELL_EVIDENCE = 25.0
"""Change that a motion makes over that of noise, both squared, where half of the motion counts; noise stays below."""

MAX_FORETOLD_PX = 2.0
"""Up to so far the slopes of a picture foretell the change that a motion makes."""
SURELY_NOISE, SURELY_MOTION = 4.0, 4000.0
"""Bounds of the same, between which the pictures are asked: noisy cells agree on a motion by chance."""

CUT_CHANGE = 15.0
CUT_EXPLAINED = 0.35
"""Two pictures belong to different shots where their mean change, in grey levels, is at least the first and motion
explains less than this share of its square."""


class PairMotion(NamedTuple):
    """Motion from one picture to another, in picture diagonals; of the content, which moves against the camera.

    Attributes:
        right: of the background, to the right.
        down: of the background, downwards.
        growth: outwards from the centre, at a quarter of a diagonal from it.
        turn: counter-clockwise around the centre, at a quarter of a diagonal from it.
        flow: mean length over the picture, of background and subjects together.
        subject: mean length over the picture of what the camera does not explain.
        inliers: share of textured cells that move as the camera has it, 0 to 1.
        noise: standard deviation of one picture's noise, in grey levels.
    """

    right: float
    down: float
    growth: float
    turn: float
    flow: float
    subject: float
    inliers: float
    noise: float


class _Cells(NamedTuple):
    """Means over the cells of a pair of pictures, each ``[N]``.

    Attributes:
        flow: ``[2, N]``, right and down, in pixels.
        texture: ``[3, N]``, of the squares and the product of the slopes, without those of noise: xx, xy, yy.
        noise: variance of the difference of the two pictures once motion is taken off.
        trust: weight of a cell in the fit, 0 to 1: where its texture shows motion in every direction.
    """

    flow: Floats
    texture: Floats
    noise: float
    trust: Floats


class PairMeter:
    """Measures pairs of pictures. Keeps the flow's buffers; not thread-safe."""

    def __init__(self) -> None:
        self._method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def measure(self, before: Luma, after: Luma, pixel_aspect: float = 1.0) -> PairMotion | None:
        """The motion between two pictures, uint8 ``[H, W]``; None where they belong to different shots.

        Args:
            before: the earlier picture.
            after: the later one, of the same size.
            pixel_aspect: width of their pixels over the height, as displayed.
        """
        grid = grid_of(*before.shape, pixel_aspect)
        cells = self._cells(before, after, grid)
        if cells is None:
            return None
        model, inliers = _fit_camera(cells, grid)
        moved = _moved(grid, model) / grid.diagonals_per_px
        energy = float(_energy(moved, cells.texture).sum())
        if SURELY_NOISE * cells.noise < energy < SURELY_MOTION * cells.noise:
            explained = _explained(before, after, model, grid)
            # A small motion explains what it makes; what noise agrees on explains less than half of it.
            is_small = np.hypot(*moved).max() <= MAX_FORETOLD_PX
            energy = min(energy, 2 * explained - energy if is_small else explained)
        share = _evidence(max(0.0, energy), cells.noise, CAMERA_EVIDENCE)
        rest = cells.flow - moved * share
        # Slopes of a cell foretell its change for small motion only: a far one of a blank wall would seem sure.
        near = rest / np.maximum(1, np.hypot(*rest))
        rest = rest * _evidence(np.maximum(0, _energy(near, cells.texture)), cells.noise, CELL_EVIDENCE)
        flow, subject = (_mean_length(each * grid.diagonals_per_px) for each in (moved * share + rest, rest))
        right, down, growth, turn = (model * share).tolist()
        return PairMotion(right, down, growth, turn, flow, subject, inliers, math.sqrt(cells.noise / 2))

    def _cells(self, before: Luma, after: Luma, grid: Grid) -> _Cells | None:
        flow = self._method.calc(before, after, None)  # type: ignore[call-overload]
        no_second_map: Any = None
        warped = cv2.remap(after, flow + grid.pixels, no_second_map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        first = before.astype(np.float32)
        change, rest = after - first, warped - first
        if _is_cut(change, rest):
            return None
        brightness = _brightness_change(first, rest)
        change -= brightness
        rest -= brightness
        gx, gy = (cv2.Sobel(first, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
        gradients = np.stack([grid.means(product) for product in (gx * gx, gx * gy, gy * gy)])
        products = np.stack([grid.means(product) for product in (gx * rest, gy * rest)])
        changed, left = (float(np.median(grid.means(each * each))) for each in (change, rest))
        whole = np.stack([grid.means(part) for part in cv2.split(flow)])
        inside = (np.abs(grid.centres + whole) < grid.half_size).all(axis=0)
        # Where a picture stands still and has little but noise, the flow follows it, and interpolation smooths it: up
        # to half is missing in what the flow leaves.
        noise_of_one = (changed if changed < 2 * left else left) / 2
        texture = gradients - np.array([[1.0], [0.0], [1.0]]) * NOISE_SLOPE * noise_of_one
        trust = np.sqrt(np.minimum(_weakest_gradient(texture), FULL_TRUST) / FULL_TRUST) * inside + 1e-4
        return _Cells(whole + _refinement(gradients, products), texture, max(MIN_NOISE, left), trust)


def _is_cut(change: NDArray[np.float32], rest: NDArray[np.float32]) -> bool:
    if cv2.norm(change, cv2.NORM_L1) < CUT_CHANGE * change.size:
        return False
    before, after = float(change.var()), float(rest.var())
    return 1 - after / max(before, 1e-9) < CUT_EXPLAINED


def _brightness_change(first: NDArray[np.float32], rest: NDArray[np.float32]) -> NDArray[np.float32]:
    """The part of a change that follows the picture's own levels: fades and flashes, which are no motion."""
    levels, changes = first[4::8, 4::8].ravel(), rest[4::8, 4::8].ravel()
    mean, change = levels.mean(), changes.mean()
    levels = levels - mean
    variance = float(levels @ levels)
    slope = float(levels @ changes) / variance if variance else 0.0
    return first * np.float32(slope) + np.float32(change - mean * slope)


def _refinement(gradients: Floats, products: Floats) -> Floats:
    """The step of Lucas and Kanade for each cell, ``[2, N]`` in pixels."""
    xx, xy, yy = gradients[0] + GRADIENT_NOISE, gradients[1], gradients[2] + GRADIENT_NOISE
    steps = np.stack([xy * products[1] - yy * products[0], xy * products[0] - xx * products[1]]) / (xx * yy - xy * xy)
    return np.clip(steps, -MAX_REFINEMENT_PX, MAX_REFINEMENT_PX)


def _weakest_gradient(gradients: Floats) -> Floats:
    """Mean square of the slope in the direction where it is least."""
    xx, xy, yy = gradients
    return np.maximum(0, (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy))


def _fit_camera(cells: _Cells, grid: Grid) -> tuple[Floats, float]:
    """The model in diagonals that most trusted cells agree on, and the share of them that do."""
    flow, weights = (cells.flow * grid.diagonals_per_px).ravel(), cells.trust * grid.prior
    model = _starting_model(flow, weights, grid)
    for _ in range(FIT_ITERATIONS):
        distance = _lengths(flow - grid.design @ model)
        limit = min(MAX_OUTLIER_PX * grid.px, max(MIN_OUTLIER_PX * grid.px, 4 * _weighted_median(distance, weights)))
        used = weights * np.maximum(1 - (distance / limit) ** 2, 0) ** 2
        weighted = grid.design.T * np.concatenate([used, used])
        model = np.linalg.solve(weighted @ grid.design + 1e-9 * np.eye(4), weighted @ flow)
    if _stands(flow, model, weights, grid):
        model = np.zeros(4)
    limit = max(MIN_OUTLIER_PX * grid.px, AGREEMENT * float(np.linalg.norm(model)))
    agreeing = _lengths(flow - grid.design @ model) <= 2 * limit
    return model, float(weights[agreeing].sum() / weights.sum())


def _stands(flow: Floats, model: Floats, weights: Floats, grid: Grid) -> bool:
    """True where more of the background stands still than moves by the model: subjects fill much of the picture."""
    edge = weights * (grid.prior == 1.0)
    still, moved = (
        edge[_lengths(each) < MIN_OUTLIER_PX * grid.px].sum() for each in (flow, flow - grid.design @ model)
    )
    return bool(still > max(MIN_STILL * edge.sum(), STILL_ADVANTAGE * moved))


def _starting_model(flow: Floats, weights: Floats, grid: Grid) -> Floats:
    """The best of three shifts: none, the median of the cells at the edges, the median of all."""
    is_border = grid.prior == 1.0
    starts = [np.zeros(4)]
    for chosen in (is_border, np.ones_like(is_border)):
        shift = [_weighted_median(part[chosen], weights[chosen]) for part in flow.reshape(2, -1)]
        starts.append(np.array([*shift, 0.0, 0.0]))
    costs = [float(weights @ np.minimum(_lengths(flow - grid.design @ start), grid.px)) for start in starts]
    return starts[int(np.argmin(costs))]


def _moved(grid: Grid, model: Floats) -> Floats:
    """Motion of each cell by the camera, ``[2, N]`` in diagonals."""
    return (grid.design @ model).reshape(2, -1)


def _lengths(flat: Floats) -> Floats:
    return np.hypot(*flat.reshape(2, -1))


def _mean_length(motion: Floats) -> float:
    return float(np.hypot(*motion).mean())


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values)
    sums = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(sums, sums[-1] / 2)]])


def _energy(motion: Floats, texture: Floats) -> Floats:
    """Squared change, in grey levels summed over each cell, that its texture makes when it moves by so many pixels."""
    (x, y), (xx, xy, yy) = motion, texture
    return (xx * x * x + 2 * xy * x * y + yy * y * y) * CELL_PX**2


def _explained(before: Luma, after: Luma, model: Floats, grid: Grid) -> float:
    """Squared change that a camera's motion explains: a fourth of what it does better than the opposite motion.

    Both are interpolated alike, so that noise, which interpolation smooths, favours neither.
    """
    errors: list[float] = []
    for sign in (1, -1):
        place = grid.affine(sign * model)
        moved = cv2.warpAffine(
            after,
            place,
            after.shape[::-1],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        errors.append(cv2.norm(moved, before, cv2.NORM_L2SQR))
    return (errors[1] - errors[0]) / 4


def _evidence(energy: Any, noise: float, half: float) -> Any:
    """Share of a motion that counts, 0 to 1; 1/2 where its energy is `half` times the noise's variance."""
    squared = (energy / (half * noise)) ** 2
    return squared / (1 + squared)
