"""The 36 features of BRISQUE: how neighbouring pixels of a picture are distributed, at two sizes."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

LUMA_WEIGHTS = (0.2125, 0.7154, 0.0721)
"""Of red, green and blue (BT.709), as in the pictures that the support vectors were made of."""
KERNEL_PX = 7
KERNEL_SIGMA = 7 / 6
CONTRAST_FLOOR = 1 / 255
ROUNDING = 1e-9
LEAST_SIDE_PX = 16

_SHAPES = np.linspace(0.05, 20.0, 20_001)
"""Shapes of a generalized Gaussian that are looked up; between two of them the shape is interpolated."""
_RATIOS = np.array(
    [math.exp(2 * math.lgamma(2 / shape) - math.lgamma(1 / shape) - math.lgamma(3 / shape)) for shape in _SHAPES]
)
"""Of each shape, the squared mean of absolute values over the mean of squares; rises with the shape."""


def features(image: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Float64 ``[36]`` of an RGB image, uint8 ``[H, W, 3]``; None where it is too small, or too flat to have them."""
    if min(image.shape[:2]) < LEAST_SIDE_PX:
        return None
    luma = image @ np.array(LUMA_WEIGHTS) / 255
    half = np.asarray(cv2.resize(luma, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_CUBIC), np.float64)
    found = np.array([value for size in (luma, half) for value in _features_of(size)])
    return found if np.isfinite(found).all() else None


def _features_of(luma: NDArray[np.float64]) -> list[float]:
    """Shape and variance of normalised pixels, then shape, mean, left and right variance of products of neighbours."""
    normalised = _normalised(luma)
    products = (
        normalised[:, :-1] * normalised[:, 1:],
        normalised[:-1] * normalised[1:],
        normalised[:-1, :-1] * normalised[1:, 1:],
        normalised[1:, :-1] * normalised[:-1, 1:],
    )
    shape, _, left, right = _fitted(normalised)
    found = [shape, (left + right) / 2]
    for product in products:
        found += _fitted(product)
    return found


def _normalised(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each pixel less the mean around it, over the deviation around it. Beyond its edges the picture is black."""
    kernel = cv2.getGaussianKernel(KERNEL_PX, KERNEL_SIGMA, cv2.CV_64F)

    def blur(values: NDArray[np.float64]) -> NDArray[np.float64]:
        blurred = cv2.sepFilter2D(values, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(blurred, np.float64)

    mean = blur(luma)
    deviation = np.sqrt(np.abs(blur(luma**2) - mean**2))
    normalised = (luma - mean) / (deviation + CONTRAST_FLOOR)
    # In flat areas rounding would decide which pixels are negative, and how many are enters the features.
    return np.where(np.abs(normalised) < ROUNDING, 0.0, normalised)


def _fitted(values: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Shape, mean, and variance left and right of 0 of an asymmetric generalized Gaussian; NaN where one is empty."""
    negative, positive = values[values < 0], values[values >= 0]
    if not len(negative) or not len(positive) or not positive.any():
        return math.nan, math.nan, math.nan, math.nan
    left, right = float(np.mean(negative**2)), float(np.mean(positive**2))
    skew = math.sqrt(left / right)
    ratio = float(np.mean(np.abs(values)) ** 2 / np.mean(values**2))
    ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shape = float(np.interp(ratio, _RATIOS, _SHAPES))
    per_deviation = math.sqrt(math.gamma(1 / shape) / math.gamma(3 / shape))
    mean = (math.sqrt(right) - math.sqrt(left)) * per_deviation * math.gamma(2 / shape) / math.gamma(1 / shape)
    return shape, mean, left, right
