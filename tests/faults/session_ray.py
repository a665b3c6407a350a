"""The Ray of the test session. Drivers connect to it and must release all CPUs when they leave."""

import ray

from tests.faults.waiting import wait_until


def free_cpus() -> float:
    """Number of CPUs that no worker holds."""
    return ray.available_resources().get("CPU", 0.0)


def wait_for_free_cpus() -> float:
    """Wait until no worker holds a CPU; return the seconds that this took. Fails if this Ray has ended."""
    return wait_until(lambda: free_cpus() == ray.cluster_resources()["CPU"], describe=free_cpus, interval_s=0.05)
