import pytest

from stages.executors.cluster import Shape


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (Shape(1.0, 0.0), "1 CPU"),
        (Shape(0.5, 1.0), "0.5 CPUs and 1 GPU"),
        (Shape(2.0, 0.25), "2 CPUs and 0.25 GPUs"),
    ],
)
def test_shape_is_told_in_words(shape: Shape, words: str) -> None:
    assert shape.in_words() == words
