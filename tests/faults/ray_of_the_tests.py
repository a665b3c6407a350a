"""The Ray of the test session, which drivers join and leave as it was."""

import ray

from tests.faults.waiting import wait_until

FREE_LIMIT_S = 60.0


def free_cpus() -> float:
    """CPUs that nobody holds."""
    return ray.available_resources().get("CPU", 0.0)


def wait_for_free_cpus() -> float:
    """Return once nobody holds a CPU, with the seconds that it took; fails where that Ray has ended."""
    return wait_until(
        lambda: free_cpus() == ray.cluster_resources()["CPU"],
        limit_s=FREE_LIMIT_S,
        told=ray.available_resources,
        every_s=0.05,
    )
