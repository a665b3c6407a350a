"""Whether workers fit nodes and devices, against trying every placement."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.executors.cluster import Node, Shape
from stages.executors.placement import Room


def can_be_placed(shapes: list[Shape], nodes: list[Node]) -> bool:
    """Whether some placement of the workers, each on one node, exceeds no node; GPUs are whole or none."""
    for places in product(range(len(nodes)), repeat=len(shapes)):
        held = [[shape for shape, place in zip(shapes, places, strict=True) if place == n] for n in range(len(nodes))]
        if all(
            sum(shape.cpus for shape in of_node) <= node.cpus and sum(shape.gpus for shape in of_node) <= node.gpus
            for of_node, node in zip(held, nodes, strict=True)
        ):
            return True
    return False


@given(
    st.lists(st.builds(Shape, st.integers(0, 3), st.integers(0, 2)), max_size=4),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=3),
)
def test_what_fits_can_be_placed(shapes: list[Shape], sizes: list[tuple[int, int]]) -> None:
    nodes = [Node(str(index), *size) for index, size in enumerate(sizes)]
    if Room(nodes).fits(shapes):
        assert can_be_placed(shapes, nodes)
    elif len(shapes) == 1:
        assert not can_be_placed(shapes, nodes)


@pytest.mark.parametrize(
    ("share", "gpus", "most"), [(0.6, [2], 2), (0.6, [1, 1], 2), (0.5, [2], 4), (0.2, [1], 5), (0.34, [3], 6)]
)
def test_share_of_a_gpu_lies_on_one_device(share: float, gpus: list[int], most: int) -> None:
    room = Room(Node(str(index), 16, count) for index, count in enumerate(gpus))
    assert [room.hold(Shape(1, share)) for _ in range(most + 1)] == [True] * most + [False]


def test_share_leaves_whole_devices_to_those_that_need_them() -> None:
    room = Room([Node("a", 16, 2)])
    assert room.hold(Shape(1, 0.4), "a")
    assert room.hold(Shape(1, 0.6), "a")
    assert room.fits([Shape(1, 1)])
    assert not room.fits([Shape(1, 1), Shape(1, 0.1)])


def test_cpus_of_several_nodes_are_not_added_up() -> None:
    room = Room([Node("a", 3, 0), Node("b", 3, 0)])
    assert room.fits([Shape(2, 0), Shape(2, 0)])
    assert not room.fits([Shape(2, 0)] * 3)
    assert not room.fits([Shape(4, 0)])


def test_worker_of_a_node_that_is_gone_takes_no_room() -> None:
    room = Room([Node("a", 1, 0)])
    assert not room.hold(Shape(1, 0), "lost")
    assert room.fits([Shape(1, 0)])
