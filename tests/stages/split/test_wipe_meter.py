"""Whether an edge passes: wipes against dissolves, cuts and motion, from pictures whose changes are known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.split.wipe_meter import COLUMNS, WipeMeter
from tests.stages.split.test_change_meter import dissolve, texture

Images = list[NDArray[np.float32]]
STILL = 20


def measured(pictures: Images, batch: int = 50) -> dict[str, NDArray[np.float32]]:
    meter = WipeMeter()
    for start in range(0, len(pictures), batch):
        meter.push(np.rint(np.stack(pictures[start : start + batch])).astype(np.uint8))
    return meter.measured()


def wipe(number: int, order: NDArray[np.float64]) -> Images:
    """The second texture comes over the first where `order`, 0 to 1 over the picture, has been passed."""
    shares = np.arange(1, number + 1) / (number + 1)
    between = [np.where(order[..., None] < share, texture(2), texture(1)) for share in shares]
    return [texture(1)] * STILL + between + [texture(2)] * STILL


ACROSS = np.broadcast_to(np.arange(48) / 47, (27, 48))
IRIS = np.hypot(*np.mgrid[-1:1:27j, -1:1:48j]) / np.sqrt(2)


@pytest.mark.parametrize("order", [ACROSS, 1 - ACROSS, IRIS], ids=["right", "left", "iris"])
@pytest.mark.parametrize("number", [8, 24, 50])
def test_edge_that_passes_is_found(order: NDArray[np.float64], number: int) -> None:
    found = measured(wipe(number, order))
    best = int(np.argmax(found["wipe_share"]))
    assert found["wipe_share"][best] > 0.8
    assert found["wipe_order"][best] < 0.2
    assert found["wipe_length"][best] >= 0.8 * number
    assert STILL + 0.8 * number <= best <= STILL + number + 10


@pytest.mark.parametrize(
    "pictures",
    [
        [texture(1)] * 60,
        [texture(1)] * 30 + [texture(2)] * 30,
        [texture(1)] * 20 + dissolve(20, texture(1), texture(2)) + [texture(2)] * 20,
        [np.roll(texture(1), index, axis=1) for index in range(60)],
        wipe(24, np.random.default_rng(4).random((27, 48))),
    ],
    ids=["still", "cut", "dissolve", "pan", "pixels in no order"],
)
def test_other_changes_are_no_edge(pictures: Images) -> None:
    found = measured(pictures)
    assert ((found["wipe_share"] < 0.4) | (found["wipe_order"] > 0.5)).all()


@pytest.mark.parametrize("batch", [1, 7])
def test_measures_do_not_depend_on_batches(batch: int) -> None:
    pictures = wipe(24, ACROSS)
    whole, parts = measured(pictures), measured(pictures, batch)
    for name in COLUMNS:
        np.testing.assert_array_equal(parts[name], whole[name])
        assert whole[name].shape == (len(pictures),)


@pytest.mark.parametrize("number", [0, 1, 5, 9, 10])
def test_few_frames_have_a_value_each(number: int) -> None:
    found = measured([texture(1)] * number)
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(COLUMNS, number)
