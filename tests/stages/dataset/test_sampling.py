"""Which frames are read, in exact arithmetic."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.dataset.sampling import FrameSampling, covering_size
from stages.errors import ParamsError
from stages.tasks import Size


def test_times_are_the_middles_of_equal_parts() -> None:
    assert FrameSampling(num_frames=4).times(Fraction(2)) == [Fraction(part, 4) for part in (1, 3, 5, 7)]


def test_times_at_a_rate_begin_at_0_and_end_before_the_end() -> None:
    assert FrameSampling(fps=2.5).times(Fraction(2)) == [Fraction(2 * part, 5) for part in range(5)]
    assert FrameSampling(fps=0.1).times(Fraction(2)) == [0]
    assert FrameSampling().times(Fraction(2)) is None


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(1, 500), st.integers(1, 500))
def test_covering_size_covers_and_touches(width: int, height: int, wanted_width: int, wanted_height: int) -> None:
    covering = covering_size(Size(width, height), Size(wanted_width, wanted_height))
    assert covering.width >= wanted_width
    assert covering.height >= wanted_height
    assert covering.width == wanted_width or covering.height == wanted_height


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_frames": 0}, "num_frames must be a whole number of at least 1, got 0"),
        ({"num_frames": 8.0}, r"num_frames must be a whole number of at least 1, got 8\.0"),
        ({"fps": "2"}, "fps must be above 0 and finite, got '2'"),
        ({"num_frames": 8, "fps": 2.0}, "got both: 8 and 2.0"),
        ({"fps": 0.0}, "fps must be above 0 and finite, got 0.0"),
        ({"fps": float("nan")}, "fps must be above 0 and finite, got nan"),
        ({"size": Size(0, 4)}, r"size must be at least 1 pixel high and wide, got \(4, 0\)"),
    ],
)
def test_sampling_rejects_what_selects_nothing(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        FrameSampling(**arguments)  # type: ignore[arg-type]
