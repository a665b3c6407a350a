import cv2
import numpy as np
import pytest

from stages.pictures.thumbnails import PRESETS, decode_jpeg, encode_small, encode_within
from tests.stages.pictures.stores import jpeg, noise


def size_of(data: bytes) -> tuple[int, int]:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image.shape[1], image.shape[0]


@pytest.mark.parametrize(
    ("width", "height", "shown"), [(448, 252, (192, 108)), (100, 448, (32, 144)), (60, 30, (60, 30))]
)
def test_pictures_keep_their_proportions_and_are_never_enlarged(
    width: int, height: int, shown: tuple[int, int]
) -> None:
    (data,) = encode_within([decode_jpeg(jpeg(128, width, height))], 10_000)
    assert size_of(data) == shown


@pytest.mark.parametrize("data", [b"", b"no picture", jpeg(3)[:20], b"\xff\xd8\xff\xd9"])
def test_decode_jpeg_gives_nothing_for_a_broken_picture(data: bytes) -> None:
    assert decode_jpeg(data) is None


@pytest.mark.parametrize("max_bytes", [60_000, 20_000, 3_000])
def test_pictures_of_noise_stay_below_the_limit(max_bytes: int) -> None:
    encoded = encode_within([decode_jpeg(noise(seed)) for seed in range(6)], max_bytes)
    assert sum(map(len, encoded)) <= max_bytes
    assert any(encoded)


def test_pictures_that_do_not_fit_are_left_out_from_the_end() -> None:
    encoded = encode_within([decode_jpeg(noise(seed)) for seed in range(4)], 150)
    assert [bool(data) for data in encoded] == sorted((bool(data) for data in encoded), reverse=True)
    assert size_of(encoded[0]) == PRESETS[-1][:2]
    assert not encoded[-1]


def test_a_missing_picture_leaves_its_place_empty() -> None:
    first, second = encode_within([None, decode_jpeg(jpeg(10))], 1000)
    assert (first, bool(second)) == (b"", True)


def test_small_pictures_take_few_bytes_or_are_left_out() -> None:
    assert 0 < len(encode_small(decode_jpeg(jpeg(90, 448, 252)), 520)) <= 520
    assert 0 < len(encode_small(decode_jpeg(noise(1)), 520)) <= 520
    assert encode_small(decode_jpeg(noise(1)), 20) == b""
    assert encode_small(None, 520) == b""
