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

    def hold(self, shape: Shape, node_id: str = "") -> bool:
        """Take the room of a worker: on its node, or where it fits first if that is not known yet.

        Returns:
            False, and nothing is taken, if it fits nowhere.
        """
        if node_id:
            node = self._nodes.get(node_id)
            return node is not None and node.hold(shape)
        return any(node.hold(shape) for node in self._nodes.values())

    def fits(self, shapes: Sequence[Shape]) -> bool:
        """Whether workers of all these shapes fit together; takes nothing."""
        copy = Room(())
        copy._nodes = {node_id: node.copy() for node_id, node in self._nodes.items()}
        # The largest first, so that small ones do not break up the room of a large one.
        return all(copy.hold(shape) for shape in sorted(shapes, key=lambda shape: (-shape.gpus, -shape.cpus)))


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
