"""Whether workers fit nodes and devices, against trying every placement."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.executors.cluster import Node, Shape
from stages.executors.placement import Places, Room


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


@given(st.lists(st.integers(0, 7), min_size=1, max_size=6), st.integers(1, 3), st.integers(1, 20))
def test_places_are_as_many_as_fit_node_by_node(cpus: list[int], size: int, most: int) -> None:
    room = Room(Node(str(index), count, 0) for index, count in enumerate(cpus))
    places = Places(room, Shape(size, 0), Shape(sum(cpus), 0), [], most)
    fit = sum(count // size for count in cpus)
    assert [places.take() for _ in range(fit + 1)] == [number < min(fit, most) for number in range(fit + 1)]


def test_places_leave_room_for_other_shapes_and_what_others_hold() -> None:
    nodes = [Node("a", 4, 1), Node("b", 4, 0)]
    places = Places(Room(nodes), Shape(1, 0), Shape(8, 1), [Shape(2, 1)], 99)
    assert [places.take() for _ in range(7)] == [True] * 6 + [False]
    room = Room(nodes)
    room.hold(Shape(1, 0), "b")
    places = Places(room, Shape(1, 0), Shape(3, 1), [], 99)  # others hold four of the seven that these workers do not
    assert [places.take() for _ in range(4)] == [True] * 3 + [False]
