"""A driver that joins a Ray by its address, in a process of its own, as tests start it.

Prints, as JSON, on which nodes it worked.
"""

import json
import sys

import ray

from stages.executors.ray import RayExecutor
from stages.params import ExecutorParams
from stages.stage import WorkerMetadata
from tests.faults.faulty_stages import Step, make_tasks, run


class NodeStep(Step):
    """Its row says on which node it was made."""

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        self.name = f"{worker_metadata.node.node_id} "


def nodes_of_a_run(address: str) -> list[str]:
    """On which nodes a run worked that joined the Ray at an address, and left it."""
    pool = RayExecutor(ExecutorParams(address=address))
    try:
        result = run(pool, [NodeStep("node", seconds=0.3)], make_tasks(*"123456789"))
    finally:
        pool.close()
    return sorted({rows[0]["path"].split()[0] for (rows,) in result.outcomes.values()})


def main() -> None:
    """Work on the Ray that the command line names, twice: join it, then take the connection that is there."""
    address = sys.argv[1]
    joined = nodes_of_a_run(address)
    assert not ray.is_initialized()
    ray.init(address, log_to_driver=False)
    connected = nodes_of_a_run("connected")
    assert ray.is_initialized(), "a connection of others is left open"
    print(json.dumps({"joined": joined, "connected": connected}))  # noqa: T201 - read by the test
