"""What a clip's pairs of pictures say of its camera and its subjects. Pure functions of stored samples."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.schemas import MOTION_CLASSES

Floats = NDArray[np.float64]

MOTION_CLASS_LIMITS = (0.004, 0.04, 0.2)
"""Upper limits of the mean flow of the first three classes, in picture diagonals a second."""

STATIC_SPEED = 0.0025
"""Largest speed of a camera that stands, in one direction, in picture diagonals a second."""
STATIC_JITTER = 0.006
"""Largest speed, in changing directions, of a camera that stands."""
SHAKE_LIKENESS = 0.6
"""A camera shakes where consecutive velocities are less alike: 1 is equal, 0 has nothing in common."""
MIN_COHERENCE = 0.5
"""Least length of the mean velocity, as a share of the mean speed, of a camera that goes in one direction."""
MIXED_SHARE = 0.5
"""Least share of the strongest motion's speed that makes another motion count beside it."""

KINDS = ("pan", "tilt", "zoom", "roll")
DIRECTIONS = (("left", "right"), ("up", "down"), ("out", "in"), ("ccw", "cw"))
"""Words for a negative and a positive velocity of the camera, by kind."""


class CameraMotion(NamedTuple):
    """The camera of a clip.

    Attributes:
        motion: one of `stages.params.CAMERA_MOTIONS`.
        speed: mean, in picture diagonals a second; of zoom and roll, at a quarter of a diagonal from the centre.
        direction: words of `DIRECTIONS`, the strongest first, joined by "+"; None where the camera stands, shakes or
            goes to and fro.
    """

    motion: str
    speed: float
    direction: str | None


def camera_velocities(right: Floats, down: Floats, growth: Floats, turn: Floats) -> Floats:
    """Velocities of the camera ``[N, 4]``, as `KINDS`, from those of the background: it moves the other way.

    Content that grows is a zoom in; content that turns counter-clockwise is a roll clockwise.
    """
    return np.stack([-right, -down, growth, turn], axis=1)


def classify_camera(velocities: Floats) -> CameraMotion:
    """The camera of a clip, from the velocities of its pairs ``[N, 4]``, N at least 1."""
    mean, speeds = velocities.mean(axis=0), np.linalg.norm(velocities, axis=1)
    speed = float(speeds.mean())
    # Medians: a subject that fills the picture for a moment moves no camera.
    drift = float(np.linalg.norm(np.median(velocities, axis=0)))
    is_unsteady = _likeness(velocities) < SHAKE_LIKENESS
    if drift < STATIC_SPEED or is_unsteady:
        is_static = float(np.median(speeds)) < STATIC_JITTER
        if is_static or is_unsteady:
            return CameraMotion("static" if is_static else "shake", speed, None)
    has_direction = float(np.linalg.norm(mean)) >= MIN_COHERENCE * speed
    strengths = np.abs(mean) if has_direction else np.abs(velocities).mean(axis=0)
    order = [kind for kind in np.argsort(-strengths) if strengths[kind] >= MIXED_SHARE * strengths.max()]
    words = [DIRECTIONS[kind][int(mean[kind] > 0)] for kind in order]
    motion = KINDS[order[0]] if len(order) == 1 else "mixed"
    return CameraMotion(motion, speed, "+".join(words) if has_direction else None)


def _likeness(velocities: Floats) -> float:
    """Correlation, without a mean, of each velocity and the next; 1 for a single one."""
    first, second = velocities[:-1], velocities[1:]
    lengths = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / lengths if lengths else 1.0


def motion_class(flow_mean: float) -> str:
    """One of `MOTION_CLASSES`, by the mean flow in picture diagonals a second."""
    return MOTION_CLASSES[int(np.searchsorted(MOTION_CLASS_LIMITS, flow_mean, side="right"))]
