"""Fixed synthetic clips of eight frames of 128 x 72, named by their defect."""

import cv2
import numpy as np

from tests.videos import Picture, noise_shot

WIDTH, HEIGHT, COUNT = 128, 72, 8


def ordinary() -> list[Picture]:
    """Fine texture and broad light, both moving."""
    light = 60 * np.sin(np.arange(WIDTH) * 2 * np.pi / WIDTH)
    texture = noise_shot(5, COUNT, width=WIDTH, height=HEIGHT, speed=3)
    return [
        np.clip(picture + np.roll(light, 6 * index)[None, :, None], 0, 255).astype(np.uint8)
        for index, picture in enumerate(texture)
    ]


def black() -> list[Picture]:
    return [np.full((HEIGHT, WIDTH, 3), 6, np.uint8)] * COUNT


def starts_black() -> list[Picture]:
    return black()[:3] + ordinary()[3:]


def frozen() -> list[Picture]:
    """One picture again and again, with the noise of an encoder."""
    random = np.random.default_rng(0)
    still = ordinary()[0].astype(int)
    return [np.clip(still + random.integers(-1, 2, still.shape), 0, 255).astype(np.uint8) for _ in range(COUNT)]


def small_motion() -> list[Picture]:
    """A still picture in which a patch of 12 x 12 pixels moves."""
    pictures = [ordinary()[0].copy() for _ in range(COUNT)]
    for index, picture in enumerate(pictures):
        picture[20:32, 10 * index : 10 * index + 12] = 250
    return pictures


def letterboxed() -> list[Picture]:
    pictures = [picture.copy() for picture in ordinary()]
    for picture in pictures:
        picture[:18] = picture[-18:] = 16
    return pictures


def pillarboxed() -> list[Picture]:
    pictures = [picture.copy() for picture in ordinary()]
    for picture in pictures:
        picture[:, :40] = picture[:, -40:] = 0
    return pictures


def night() -> list[Picture]:
    """A lit disk that moves in the dark: no bars, since nothing ends along a straight edge."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    pictures: list[Picture] = []
    for index in range(COUNT):
        disk = (rows - 40) ** 2 + (columns - 60 - index) ** 2 < 24**2
        pictures.append(np.where(disk[..., None], ordinary()[index], np.uint8(3)))
    return pictures


def blurred() -> list[Picture]:
    return [np.asarray(cv2.GaussianBlur(picture, (0, 0), 12), np.uint8) for picture in ordinary()]


def over_exposed() -> list[Picture]:
    return [np.clip(picture.astype(int) * 30, 0, 255).astype(np.uint8) for picture in ordinary()]


def single() -> list[Picture]:
    return ordinary()[:1]


CLIPS = {
    make.__name__: make
    for make in (
        ordinary,
        black,
        starts_black,
        frozen,
        small_motion,
        letterboxed,
        pillarboxed,
        night,
        blurred,
        over_exposed,
        single,
    )
}
