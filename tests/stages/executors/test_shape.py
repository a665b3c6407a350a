"""The CPUs and GPUs that a worker holds."""

import math
from collections.abc import Iterator

import pytest

from stages.executors.cluster import Cluster, Node, Shape
from stages.resources import Resources


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


@pytest.fixture
def cluster(ray_cluster: None) -> Iterator[Cluster]:
    joined = Cluster("auto")
    yield joined
    joined.close()


@pytest.mark.parametrize(
    ("resources", "shape"),
    [
        (Resources(cpus=64), Shape(32, 0)),
        (Resources(cpus=8, gpus=1), Shape(4, 1)),
        (Resources(cpus=2, gpus=1), Shape(2, 1)),
        (Resources(cpus=8, gpus=4), Shape(8, 4)),
    ],
)
def test_cpus_are_at_most_those_of_a_node_that_has_the_gpus(
    cluster: Cluster, resources: Resources, shape: Shape
) -> None:
    """The largest node has no GPU, the head has no CPU, and nobody has four GPUs: an autoscaler may bring them."""
    cluster._nodes = [Node("head", 0, 0), Node("large", 32, 0), Node("device", 4, 1)]
    cluster._nodes_asked_at = math.inf
    assert cluster.shape_of(resources) == shape
