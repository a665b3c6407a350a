"""Connecting this process to Ray: starting a private one, or joining one that runs.

Ray has no option for some of what is set here, hence the private modules of it.
"""

import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import ray._private.ray_constants
import ray._private.services
import ray._private.worker
from ray._private.node import Node
from ray.exceptions import RayError

from stages.errors import PoolError
from stages.executors import cleanup_process

SPILLING_VARIABLES = {"RAY_TMPDIR", "RAY_object_spilling_directory", "RAY_object_spilling_config"}
"""Environment variables by which users set where Ray spills objects."""
_NO_API_SERVER = ("", None)
"""What Ray's `start_api_server` returns where it starts none: no address of a dashboard, no process."""
_LISTING_ONLY = ["--modules-to-load=StateHead"]
"""Arguments of an API server that lists actors and does nothing else."""
_CONNECT_ERRORS = ConnectionError | TimeoutError | RuntimeError | RayError
"""Errors that Ray raises if it does not start or is not found."""
_PRIVATE_SYSTEM_CONFIG = {"gcs_rpc_server_reconnect_timeout_s": 10}
"""Seconds until Ray ends this process after its GCS is lost during a call; 60 by default, for a GCS that moves."""
_NICENESS_VARIABLE = "RAY_worker_niceness"
"""Environment variable by which users set Ray's own priority of workers."""
WORKER_NICENESS = 5
"""How much less than the driver workers press for the CPU. By Ray's own 15 they get a thirtieth of what another process
gets: beside other work on the machine they start for minutes, and count as stalled."""


def start_private_ray(folder: str, scratch: str, *, with_api_server: bool = False) -> None:
    """Start a private Ray, whose processes carry its folder in their environment, for the cleanup process."""
    spilling = {} if SPILLING_VARIABLES & os.environ.keys() else {"object_spilling_directory": scratch}
    before = os.environ.get(cleanup_process.SESSION_VARIABLE)
    os.environ[cleanup_process.SESSION_VARIABLE] = folder
    try:
        with without_unused_processes(with_api_server=with_api_server):
            connect(
                "local",
                include_dashboard=with_api_server,
                _temp_dir=folder,
                _system_config=_system_config(),
                **spilling,
            )
    finally:
        os.environ.pop(cleanup_process.SESSION_VARIABLE)
        if before is not None:
            os.environ[cleanup_process.SESSION_VARIABLE] = before


def _system_config() -> dict[str, Any]:
    """Settings of a private Ray, for which `ray.init` has no options."""
    niceness = {} if _NICENESS_VARIABLE in os.environ else {"worker_niceness": WORKER_NICENESS}
    return {**_PRIVATE_SYSTEM_CONFIG, **niceness}


@contextmanager
def without_unused_processes(*, with_api_server: bool = False) -> Iterator[None]:
    """Let Ray start, in the block, no process that a private Ray has no use for, and that Ray has no option against.

    Without its dashboard, the API server does nothing but count usage; the monitor scales clusters; the log monitor
    sends workers' output to a driver that does not ask for it. Without the three, a private Ray and two workers are
    there after 4.4 s and 5.9 s of CPU time instead of 6.9 s and 9.2 s, and gone after 0.4 s instead of 1.2 s. An API
    server that is wanted is started with the one module that lists actors, a process, instead of nine.
    """
    services: Any = ray._private.services
    start = services.start_ray_process

    def start_small(command: list[str], process_type: str, *args: Any, **options: Any) -> Any:
        is_api_server = process_type == ray._private.ray_constants.PROCESS_TYPE_DASHBOARD
        return start([*command, *(_LISTING_ONLY if is_api_server else [])], process_type, *args, **options)

    api_server = (services, "start_api_server", lambda *args, **options: _NO_API_SERVER)
    unused = [
        (services, "start_ray_process", start_small) if with_api_server else api_server,
        (Node, "start_monitor", lambda node: None),
        (Node, "start_log_monitor", lambda node: None),
    ]
    replaced = [(owner, name, getattr(owner, name)) for owner, name, _ in unused]
    for owner, name, substitute in unused:
        setattr(owner, name, substitute)
    try:
        yield
    finally:
        for owner, name, original in replaced:
            setattr(owner, name, original)


def connect(address: str, **start_options: Any) -> None:
    """Connect to the Ray at an address, or start one where there are options for that.

    Raises:
        PoolError: it does not start, or is not found.
    """
    # Ray has no option for these two. The first: under `uv run` it would rebuild the environment on each node.
    if "RAY_ENABLE_UV_RUN_RUNTIME_ENV" not in os.environ:
        ray._private.ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = False
    # The second: it prints "(raylet) A worker died" on stdout, where data goes. The pool reports deaths itself.
    ray._private.worker._worker_logs_enabled = False
    with _keep_sigterm_handler():
        try:
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env=_job_environment(is_private=bool(start_options)),
                **start_options,
            )
        except Exception as error:  # a node that is late is a bare Exception
            if not isinstance(error, _CONNECT_ERRORS) and type(error) is not Exception:
                raise
            if not start_options:
                raise PoolError(f"executor.address must lead to a running Ray, got {address!r}: {error}") from error
            raise PoolError(
                f"Ray must start on this machine, got {type(error).__name__}: {str(error).strip().rstrip('.')}. "
                "Run the same command again when the machine has less to do."
            ) from error


@contextmanager
def _keep_sigterm_handler() -> Iterator[None]:
    """Restore the handler of SIGTERM after the block, whatever Ray does in it: Ray's own exits the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:
        if callable(before):
            before(signal.SIGTERM, None)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _job_environment(*, is_private: bool) -> dict[str, Any] | None:
    """What workers need that is not to be had by default; None, hence faster, where that is nothing."""
    environment = _stages_hook()
    executable = shlex.quote(sys.executable)
    if is_private and executable != sys.executable:  # Ray hands it to a shell as it is; elsewhere it is another
        environment["py_executable"] = executable
    return environment or None


def _stages_hook() -> dict[str, Any]:
    """A hook that imports this `stages` first, if a worker might find another `stages` in a folder searched before."""
    ours = Path(__file__).resolve().parent.parent
    # The folder of the script and the current one come first in a worker; an empty entry is the current one.
    searched = [Path.cwd(), Path(sys.argv[0]).resolve().parent, *map(Path, sys.path)]
    others = [folder / "stages" for folder in searched if (folder / "stages").is_dir()]
    if all(other.samefile(ours) for other in others):
        return {}
    return {"worker_process_setup_hook": "curator_dagster.bundled_stages.import_bundled_stages"}
