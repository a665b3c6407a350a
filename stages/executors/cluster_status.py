"""What runs on a Ray cluster tell of themselves to whoever asks it, in the key-value store of its control service."""

import json
import socket
import time
from collections.abc import Mapping
from typing import Any

import ray
from ray.experimental import internal_kv

from stages.errors import PoolError
from stages.executors.ray_connection import connect

_CONNECT_S = 5.0
_PREFIX = b"curator-status-"
TELL_INTERVAL_S = 2.0


class ClusterStatus:
    """The entry of one run. It is written anew at most every `TELL_INTERVAL_S`, and removed when the run stops."""

    def __init__(self, run_id: str) -> None:
        self._key = _PREFIX + run_id.encode()
        self._due_at = 0.0
        self._has_told = False

    def tell(self, status: Mapping[str, Any]) -> None:
        """Write the entry, where it is due and there is anything to tell."""
        if status and time.monotonic() >= self._due_at:
            self._due_at = time.monotonic() + TELL_INTERVAL_S
            self._has_told = True
            internal_kv._internal_kv_put(self._key, json.dumps({**status, "told_at": time.time()}).encode())

    def remove(self) -> None:
        """Remove the entry."""
        if self._has_told:
            internal_kv._internal_kv_del(self._key)


def read_cluster_status(address: str) -> list[dict[str, Any]]:
    """What each run on a Ray cluster last told, as it told it, with ``silent_s``, the seconds since.

    Connects this process to that Ray, and disconnects it again.

    Raises:
        PoolError: no Ray answers at the address.
    """
    _check_reachable(address)
    connect(address)
    try:
        keys = internal_kv._internal_kv_list(_PREFIX)
        entries = [json.loads(data) for key in keys if (data := internal_kv._internal_kv_get(key))]
    finally:
        ray.shutdown()
    return [{**entry, "silent_s": max(0.0, time.time() - entry["told_at"])} for entry in entries]


def _check_reachable(address: str) -> None:
    """Say at once where nobody listens: Ray itself would try for a minute.

    Raises:
        PoolError: nobody does.
    """
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "://" in host:
        return  # Ray knows what it means
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except OSError as error:
        raise PoolError(f"--address must lead to a running Ray, got {address!r}: {error}") from error
