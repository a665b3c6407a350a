"""Windows of a clip, in frames, and which pictures of the frame store show one."""

from collections.abc import Sequence

from stages.media.clip_task import spread

MIN_FRAMES = 4
"""A clip of fewer frames has no window; NeMo Curator's value."""


def windows(num_frames: int, size: int, remainder: int) -> list[tuple[int, int]]:
    """Half-open stretches of `size` frames that cover the clip; what is left over is one more or joins the last.

        num_frames 600, size 256, remainder 128:   [0, 256) [256, 600)      88 left over: joined
        num_frames 640                             [0, 256) [256, 512) [512, 640)

    NeMo Curator's rule, whose ends are inclusive. Empty for a clip of less than `MIN_FRAMES`.

    Raises:
        ValueError: `size` or `remainder` is below 1.
    """
    if size < 1 or remainder < 1:
        raise ValueError(f"size and remainder must be at least 1, got {size} and {remainder}.")
    if num_frames < MIN_FRAMES:
        return []
    starts = list(range(0, num_frames, size))
    if len(starts) > 1 and num_frames - starts[-1] < remainder:
        starts.pop()
    return list(zip(starts, [*starts[1:], num_frames], strict=True))


def pictures_in(index: Sequence[int], start_frame: int, end_frame: int, most: int) -> list[int]:
    """Places of at most `most` pictures, spread evenly over a window; of the nearest one where it holds none.

    Args:
        index: frame that each picture shows, ascending, at least one; counted as `start_frame` is.
        start_frame: first frame of the window.
        end_frame: one past the last.
        most: at least 1.
    """
    inside = [place for place, frame in enumerate(index) if start_frame <= frame < end_frame]
    if not inside:
        middle = (start_frame + end_frame - 1) / 2
        return [min(range(len(index)), key=lambda place: abs(index[place] - middle))]
    return [inside[place] for place in spread(len(inside), most)]
