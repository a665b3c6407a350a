"""Measure sharpness of stills in several sizes, and with several steps of blur, each encoded.

    PYTHONPATH=. python benchmarks/sharpness.py FOLDER

FOLDER holds the videos that stills are taken from, see `benchmarks.moving_stills`.
"""

import argparse
import itertools
import tempfile
from pathlib import Path

import cv2
import numpy as np

from benchmarks.motion import measure
from benchmarks.moving_stills import KEPT, TUNED, Encoding, Luma, Scene, encode, read_still
from stages.tasks import Size

HEIGHTS = (180, 360, 480, 720, 1080)
SIGMAS = (0, 0.5, 1, 1.5, 2, 3, 4, 6, 8)


class Still(Scene):
    """A scene that is one picture, in its own size."""

    def picture(self, seconds: float, size: Size) -> Luma:
        return self.still


def scaled(still: Luma, short_side: int, sigma: float = 0) -> Luma:
    """The still with this shorter side and blur, both sides even."""
    scale = short_side / min(still.shape)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(still, None, fx=scale, fy=scale, interpolation=method).astype(np.uint8)
    picture = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
    return cv2.GaussianBlur(picture, (0, 0), sigma).astype(np.uint8) if sigma else picture


def score(picture: Luma, folder: Path, crf: int = 23) -> float:
    """Sharpness of a second of the picture, encoded."""
    encoding = Encoding(Size(picture.shape[1], picture.shape[0]), rate=5, crf=crf, noise=0.7)
    return measure(encode(folder / "still.mp4", Still(picture, lambda _: (0, 0, 1, 0)), 1, encoding))["sharpness"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure sharpness of stills in several sizes and steps of blur.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kept", action="store_true", help="stills that no threshold was chosen on")
    args = parser.parse_args()
    spreads, falls, by_sigma = [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for video, second in KEPT if args.kept else TUNED:
            still = read_still(args.folder / video, second)
            sizes = {height: score(scaled(still, height), folder) for height in HEIGHTS if height <= min(still.shape)}
            base = min(720, min(still.shape))
            blurs = [score(scaled(still, base, sigma), folder) for sigma in SIGMAS]
            print(f"{video} {second}:", *(f"{height}p {value:.1f}" for height, value in sizes.items()))
            print(
                f"  blurred at {base}p:",
                *(f"{sigma:g} {value:.1f}" for sigma, value in zip(SIGMAS, blurs, strict=True)),
            )
            there = [value for height, value in sizes.items() if height >= 360]
            spreads += [max(there) / min(there) - 1] if there else []
            falls.append(all(later < earlier for earlier, later in itertools.pairwise(blurs)))
            by_sigma.append((base, blurs))
    print(f"largest over least from 360p on: {max(spreads):.1%}; falls with each step: {sum(falls)} of {len(falls)}")
    print(
        "scores at 720p, least and most:",
        {
            sigma: (
                round(min(blurs[number] for base, blurs in by_sigma if base == 720), 1),
                round(max(blurs[number] for base, blurs in by_sigma if base == 720), 1),
            )
            for number, sigma in enumerate(SIGMAS)
        },
    )


if __name__ == "__main__":
    main()
