"""Placement: whether one more worker fits a node, and a device of it, beside those that are there."""

import math
from collections.abc import Iterable, Sequence

from stages.executors.cluster import Node, Shape

ROUNDING = 1e-6


class Room:
    """What the nodes of a cluster have room for, beside the workers that hold a part of them.

    A share of a GPU lies on one device: three workers with 0.6 each do not fit two GPUs. As Ray does, a share takes
    the fullest device that has room for it, and whole GPUs take empty devices.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._nodes = {node.node_id: _NodeRoom(node.cpus, _devices(node.gpus)) for node in nodes}
        self._in_order = list(self._nodes.values())
        self._first: dict[Shape, int] = {}

    def hold(self, shape: Shape, node_id: str = "") -> bool:
        """Take the room of a worker: on its node, or where it fits first if that is not known yet.

        Returns:
            False, and nothing is taken, if it fits nowhere.
        """
        if node_id:
            node = self._nodes.get(node_id)
            return node is not None and node.hold(shape)
        # What has no room for a shape has none later either, so that very many workers are placed in one pass.
        first = self._first.get(shape, 0)
        while first < len(self._in_order) and not self._in_order[first].hold(shape):
            first += 1
        self._first[shape] = first
        return first < len(self._in_order)

    def fits(self, shapes: Sequence[Shape]) -> bool:
        """Whether workers of all these shapes fit together; takes nothing."""
        copy = Room(())
        copy._in_order = [node.copy() for node in self._in_order]
        return all(copy.hold(shape) for shape in _largest_first(shapes))


def _largest_first(shapes: Iterable[Shape]) -> list[Shape]:
    """So that small ones do not break up the room of a large one."""
    return sorted(shapes, key=lambda shape: (-shape.gpus, -shape.cpus))


class _NodeRoom:
    """CPUs of a node that are free, and the free share of each of its devices."""

    __slots__ = ("cpus", "devices")

    def __init__(self, cpus: float, devices: list[float]) -> None:
        self.cpus = cpus
        self.devices = devices

    def copy(self) -> "_NodeRoom":
        return _NodeRoom(self.cpus, list(self.devices))

    def hold(self, shape: Shape) -> bool:
        if shape.cpus > self.cpus + ROUNDING:
            return False
        taken = self._devices_for(shape.gpus)
        if taken is None:
            return False
        self.cpus -= shape.cpus
        for index, share in taken:
            self.devices[index] -= share
        return True

    def _devices_for(self, gpus: float) -> list[tuple[int, float]] | None:
        """Devices, with the share of each, that a worker takes; None if there are not enough."""
        if not gpus:
            return []
        share = min(gpus, 1.0)
        free = [index for index, left in enumerate(self.devices) if left >= share - ROUNDING]
        count = math.ceil(gpus - ROUNDING)
        if len(free) < count:
            return None
        free.sort(key=lambda index: self.devices[index])
        return [(index, share) for index in free[:count]]


def _devices(gpus: float) -> list[float]:
    """The whole devices of a node, and the part of one that Ray was told of, if any."""
    whole = int(gpus + ROUNDING)
    part = gpus - whole
    return [1.0] * whole + ([part] if part > ROUNDING else [])


class Places:
    """The places for further workers of one shape, beside those that there are; looked for once for many workers.

    Args:
        room: beside all workers that there are.
        shape: of the further workers.
        free: CPUs and GPUs that nobody holds, as far as is known.
        others: shapes that shall have room for a worker each too.
        most: largest number of further workers.
    """

    def __init__(self, room: Room, shape: Shape, free: Shape, others: Sequence[Shape], most: int) -> None:
        self._room = room
        self._shape = shape
        self._cpus = free.cpus - sum(other.cpus for other in others)
        self._gpus = free.gpus - sum(other.gpus for other in others)
        self._most = most if all(room.hold(other) for other in _largest_first(others)) else 0

    def take(self) -> bool:
        """Take a place; False if there is none."""
        self._cpus -= self._shape.cpus
        self._gpus -= self._shape.gpus
        self._most -= 1
        if self._most < 0 or min(self._cpus, self._gpus) < -ROUNDING:
            return False
        return self._room.hold(self._shape)
