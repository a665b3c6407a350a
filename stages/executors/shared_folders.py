"""Checks that all nodes of a cluster see the folders that a run reads and writes."""

import os
import uuid
from collections.abc import Iterable
from pathlib import Path

from stages.errors import PoolError
from stages.executors.cluster import Cluster
from stages.executors.node_calls import call_on_nodes


def check_shared(cluster: Cluster, folders: Iterable[str], files: Iterable[str]) -> None:
    """Check that nodes which may hold workers see local folders and files of this machine.

    A folder of the same path that lies on each machine apart is told from a shared one by a file that is there for the
    length of the check.

    Raises:
        PoolError: a node does not see one of them.
    """
    others = [node.node_id for node in cluster.nodes if node.node_id != cluster.node_id and (node.cpus or node.gpus)]
    if not others:
        return
    for folder in folders:
        token = Path(folder, f".seen-by-all-{uuid.uuid4().hex}")
        token.parent.mkdir(parents=True, exist_ok=True)
        token.touch(exist_ok=False)
        try:
            _check(str(token), folder, others)
        finally:
            token.unlink()
    for file in files:
        _check(file, file, others)


def _check(path: str, name: str, node_ids: list[str]) -> None:
    """Look for a file on nodes."""
    seen = call_on_nodes(os.path.exists, node_ids, path)
    blind = [node_id for node_id in seen if not seen[node_id]]
    if blind:
        raise PoolError(
            f"All nodes of the cluster must see {name}, but {len(blind)} of {len(seen)} other nodes do not, "
            f"such as {blind[0]}. Use a bucket, or a file system that is mounted at this path on each machine."
        )
