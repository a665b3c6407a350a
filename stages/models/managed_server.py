"""A model server that a worker starts for itself, in an environment of its own, and that ends with the worker.

The deployment names the command (`CURATOR_VLLM`), never a launch. vLLM's requirements clash with those of this project,
so it is never imported here; any server that speaks OpenAI's chat completions can be run in its place.
"""

import logging
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stages import heartbeat
from stages.errors import ParamsError, Reason, StageError
from stages.models.checkpoints import Checkpoint
from stages.models.kept_process import KeptProcess
from stages.params import ModelParams

logger = logging.getLogger(__name__)

VLLM_VARIABLE = "CURATOR_VLLM"
_PORT, _MODEL, _NAME = "{port}", "{model}", "{name}"
START_STALL_S = 1200.0
"""Longest time without a new line in its log that a server may take to start; large weights take minutes."""
POLL_S = 0.5
REST_S = 3.0
"""How long it may take after a server's death until all that it started has ended, and its keeper says so."""
MAX_RESTARTS = 3
"""Times that a server which died is started again, in one worker."""
_LOG_TAIL_BYTES = 2000
_OWN_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSTARTUP")
"""Variables of this project's environment that would lead another Python to its modules."""


@dataclass(frozen=True, slots=True)
class Served:
    """What is served.

    Attributes:
        model: its name in requests.
        path: folder of the checkpoint.
        dtype: as vLLM names precisions: ``auto``, ``float32`` and so on.
        memory_share: of the device's memory that the server takes; 0 for its own default.
        num_gpus: devices that the model is spread over.
        may_run_code: the deployment trusts code that lies in the checkpoint.
    """

    model: str
    path: Path
    dtype: str = "auto"
    memory_share: float = 0.0
    num_gpus: int = 0
    may_run_code: bool = False


def server_command(named: str, served: Served, port: int) -> list[str]:
    """The command line of a server.

    Args:
        named: value of `CURATOR_VLLM`: a Python with vLLM, the command ``vllm``, or a whole command line of any server
            with ``{model}``, ``{port}`` and maybe ``{name}``.
        served: what is served.
        port: on this machine.

    Raises:
        ParamsError: nothing is named, or it is no command line.
    """
    try:
        words = shlex.split(named)
    except ValueError as error:
        raise _no_command(f"{named!r}, which is no command line: {error}") from error
    if not words:
        raise _no_command("none")
    if _PORT in named:
        values = {_PORT: str(port), _MODEL: str(served.path), _NAME: served.model}
        return [_filled(word, values) for word in words]
    if Path(words[0]).name.startswith("python"):
        words += ["-m", "vllm.entrypoints.cli.main"]
    command = [*words, "serve", str(served.path), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--served-model-name", served.model, "--dtype", served.dtype]
    if served.memory_share:
        command += ["--gpu-memory-utilization", f"{served.memory_share:.3f}"]
    if served.num_gpus > 1:
        command += ["--tensor-parallel-size", str(served.num_gpus)]
    return [*command, *(["--trust-remote-code"] if served.may_run_code else [])]


def name_in_requests(named: str, served: Served) -> str:
    """What requests must call the model: a server that is told no name of it goes by the folder that it was given.

    Args:
        named: as `server_command`.
        served: what is served.
    """
    return str(served.path) if _MODEL in named and _NAME not in named and _PORT in named else served.model


class ManagedServer:
    """A server that runs; another takes its place, at the same address, where it dies.

    Attributes:
        base_url: of its API, with ``/v1``.
        api_key: that it was started with; it is no other's.
        model: what requests must call the model.
        starts: how many times it was started.

    Raises:
        ParamsError: the deployment names no command.
        StageError: the server does not start.
    """

    def __init__(self, served: Served) -> None:
        port = _free_port()
        self.api_key = secrets.token_hex(16)
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.starts = 0
        named = os.environ.get(VLLM_VARIABLE, "")
        self._command = server_command(named, served, port)
        self.model = name_in_requests(named, served)
        self._log = Path(tempfile.mkdtemp(prefix="server-")) / "server.log"
        self._lock = threading.Lock()
        try:
            self._start()
        except BaseException:  # an interrupt too: nobody else knows of the log
            shutil.rmtree(self._log.parent, ignore_errors=True)
            raise

    def revive(self, seen: int) -> bool:
        """Start it again where it died since it was started for the `seen` th time; by several threads, once.

        Returns:
            Whether it was started since, so that what was left unanswered may be asked again.

        Raises:
            StageError: it does not start.
        """
        with self._lock:
            if self.starts != seen:
                return True
            code = self._process.exit_code(REST_S)
            if code is not None and seen <= MAX_RESTARTS:
                logger.warning("The server ended with exit code %d: %s", code, self._log_tail())
                heartbeat.count("server_restarts")
                self._process.close()
                self._start()
            return self.starts != seen

    def close(self) -> None:
        """End it, with all that it started."""
        self._process.close()
        shutil.rmtree(self._log.parent, ignore_errors=True)

    def _start(self) -> None:
        self._log.write_bytes(b"")
        logger.info("Starting %s", shlex.join(self._command))
        environment = _environment({"VLLM_API_KEY": self.api_key, "VLLM_NO_USAGE_STATS": "1"})
        self._process = KeptProcess(self._command, environment, self._log)
        try:
            self._wait_until_ready()
        except BaseException:  # an interrupt too: the server must not stay
            self._process.close()
            raise
        self.starts += 1

    def _wait_until_ready(self) -> None:
        printed, progress_at = 0, time.monotonic()
        while not self._answers():
            size = self._log.stat().st_size
            if size != printed:
                printed, progress_at = size, time.monotonic()
                heartbeat.beat()
            if (code := self._process.exit_code()) is not None:
                raise self._failed(f"ended with exit code {code}")
            if time.monotonic() - progress_at > START_STALL_S:
                raise self._failed(f"printed nothing for {START_STALL_S:g} s")
            time.sleep(POLL_S)

    def _answers(self) -> bool:
        """Whether it lists its models; or is in health, for some fail to list them though they answer."""
        status = self._status(f"{self.base_url}/models")
        if status >= 500:
            return 200 <= self._status(f"{self.base_url.removesuffix('/v1')}/health") < 300
        return status > 0

    def _status(self, url: str) -> int:
        """Of the answer to a GET; 0 where there is none."""
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.api_key}"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # proxies are for other machines
        try:
            with opener.open(request, timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def _log_tail(self) -> str:
        return self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()

    def _failed(self, what: str) -> StageError:
        return StageError(
            f"The server that {VLLM_VARIABLE} names must start, and it {what}: {shlex.join(self._command)}\n"
            f"{self._log_tail()}\nRun that command by hand, or name another.",
            Reason.SERVICE,
        )


def serve(checkpoint: Checkpoint, params: ModelParams) -> ManagedServer:
    """Start a server of a checkpoint, with the share of the device that a worker of these parameters holds."""
    checkpoint.fetch()
    return ManagedServer(
        Served(
            checkpoint.model,
            checkpoint.folder,
            dtype=params.dtype,
            memory_share=_device_share(params.gpu_memory_gb) if params.gpu_memory_gb else 0.0,
            num_gpus=int(params.gpus),
            may_run_code=checkpoint.may_run_code,
        )
    )


def _device_share(memory_gb: float) -> float:
    """The share of this process's device that so many GiB are, to be told to vLLM; 0 where no device says its size."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    command += [f"--id={visible}"] if visible else []
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return 0.0
    sizes = [int(line) / 1024 for line in output.split() if line.isdigit()]
    return min(0.95, memory_gb / min(sizes)) if sizes else 0.0


def _environment(added: Mapping[str, str]) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES}, **added}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _filled(word: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word


def _no_command(found: str) -> ParamsError:
    return ParamsError(
        f"The environment variable {VLLM_VARIABLE} of the workers must name a Python with vLLM, the command vllm, or a "
        "command line with {model} and {port}, got " + f"{found}. See docs/captions.md; or start a server yourself: "
        "caption.captioner=openai.",
        "caption.captioner",
    )
