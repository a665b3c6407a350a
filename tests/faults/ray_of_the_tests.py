"""The Ray of the test session, which drivers join and leave as it was."""

import ray

from tests.faults.waiting import wait_until


def free_cpus() -> float:
    """CPUs that nobody holds."""
    return ray.available_resources().get("CPU", 0.0)


def wait_for_free_cpus() -> float:
    """Return once nobody holds a CPU, with the seconds that it took; fails where that Ray has ended."""
    return wait_until(lambda: free_cpus() == ray.cluster_resources()["CPU"], told=free_cpus, every_s=0.05)
