"""A server that a worker starts for itself: what it is started with, and that it ends with all that it started."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import heartbeat, retry
from stages.errors import ParamsError, StageError
from stages.models import managed_server
from stages.models.captioner import Caption, CaptionInput
from stages.models.managed_server import VLLM_VARIABLE, Served, name_in_requests, server_command
from stages.models.vllm_captioner import VllmCaptioner
from stages.params import CAPTION_API_KEY_VARIABLE, CaptionParams
from tests.clips import WORKER
from tests.faults.waiting import wait_until

SERVER = Path(__file__).with_name("plain_server.py")


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that passes for a checkpoint, and an environment that names the server; no wait to be killed."""
    from safetensors.numpy import save_file

    monkeypatch.setenv(VLLM_VARIABLE, f"{sys.executable} {SERVER} serve {{model}} --port {{port}}")
    monkeypatch.setenv(CAPTION_API_KEY_VARIABLE, "of another server")
    folder = tmp_path / "tiny"
    folder.mkdir()
    save_file({"weight": np.zeros(3, np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def captioner(checkpoint: Path) -> Iterator[VllmCaptioner]:
    made = VllmCaptioner(CaptionParams(captioner="vllm", model=str(checkpoint), prompt="What moves?"))
    with retry.using(retry.Backoff(2, 0.001, 0.002)):
        made.setup(WORKER)
        yield made
        made.close()


def said(captioner: VllmCaptioner, prompt: str = "") -> dict[str, Any]:
    window = CaptionInput(np.zeros((1, 16, 16, 3), np.uint8), 1.0, {}, prompt=prompt)
    (caption,) = captioner.caption([window])
    assert isinstance(caption, Caption), caption
    return json.loads(caption.text)


def test_server_gets_model_and_key_of_its_own_and_ends_with_all_it_started(
    captioner: VllmCaptioner, checkpoint: Path
) -> None:
    answer = said(captioner)
    assert (answer["prompt"], answer["model"]) == ("What moves?", str(checkpoint))
    assert answer["arguments"][:2] == ["serve", str(checkpoint)]
    assert answer["key"].startswith("Bearer ")
    assert "of another server" not in answer["key"]
    assert running(answer["pids"]) == answer["pids"]
    captioner.close()
    assert not running(answer["pids"])


def test_server_that_dies_is_started_again_and_asked_what_it_left(captioner: VllmCaptioner) -> None:
    heartbeat.take_counts()
    before = said(captioner)
    after = said(captioner, "die")
    assert set(before["pids"]).isdisjoint(after["pids"])
    assert heartbeat.take_counts()["server_restarts"] == 1
    assert not running(before["pids"])
    assert said(captioner)["pids"] == after["pids"]


def test_server_ends_where_its_worker_is_killed(checkpoint: Path) -> None:
    code = (
        "import sys, time; from tests.stages.models import test_managed_server as it\n"
        "made = it.VllmCaptioner(it.CaptionParams(captioner='vllm', model=sys.argv[1]))\n"
        "made.setup(it.WORKER); print(it.json.dumps(it.said(made)['pids']), flush=True); time.sleep(600)"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(checkpoint)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    pids = json.loads(worker.stdout.readline())
    assert running(pids) == pids
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    wait_until(lambda: not running(pids), describe=lambda: running(pids))


def test_server_that_does_not_start_says_why(checkpoint: Path) -> None:
    broken = checkpoint.rename(checkpoint.with_name("broken"))
    made = VllmCaptioner(CaptionParams(captioner="vllm", model=str(broken)))
    with pytest.raises(StageError, match=r"must start, and it ended with exit code 1: .*\nthe weights are broken\n"):
        made.setup(WORKER)


def test_server_that_never_becomes_ready_is_given_up_and_ended(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = checkpoint.rename(checkpoint.with_name("silent"))
    monkeypatch.setattr(managed_server, "START_STALL_S", 2.0)
    with pytest.raises(StageError, match=r"must start, and it printed nothing for 2 s: "):
        VllmCaptioner(CaptionParams(captioner="vllm", model=str(silent))).setup(WORKER)
    pids = [int(line) for line in (silent / "pids").read_text().split()]
    assert len(pids) == 2
    assert not running(pids)


def test_server_that_fails_to_list_its_models_is_ready_where_it_is_in_health(checkpoint: Path) -> None:
    """As that of transformers does on a machine without a cache of the hub."""
    made = VllmCaptioner(
        CaptionParams(captioner="vllm", model=str(checkpoint.rename(checkpoint.with_name("unlisted"))))
    )
    made.setup(WORKER)
    try:
        assert said(made, "What moves?")["prompt"] == "What moves?"
    finally:
        made.close()


def test_command_that_does_not_exist_is_told(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VLLM_VARIABLE, "/nowhere/vllm")
    with pytest.raises(StageError, match=r"exit code 127: /nowhere/vllm serve .*\n.*No such file or directory"):
        VllmCaptioner(CaptionParams(captioner="vllm", model=str(checkpoint))).setup(WORKER)


@pytest.mark.parametrize("model", ["", "--trust-remote-code"])
def test_captioner_rejects_what_is_no_model(model: str) -> None:
    with pytest.raises(ParamsError, match=r"caption\.model must name a checkpoint"):
        VllmCaptioner(CaptionParams(captioner="vllm", model=model))


def test_command_line_of_vllm() -> None:
    served = Served("Qwen/Q", Path("/hub/q"), "bfloat16", memory_share=0.4567, num_gpus=2, may_run_code=True)
    common = ["serve", "/hub/q", "--host", "127.0.0.1", "--port", "81", "--served-model-name", "Qwen/Q"]
    common += ["--dtype", "bfloat16"]
    more = ["--gpu-memory-utilization", "0.457", "--tensor-parallel-size", "2", "--trust-remote-code"]
    assert server_command("/opt/vllm", served, 81) == ["/opt/vllm", *common, *more]
    module = ["-m", "vllm.entrypoints.cli.main"]
    assert server_command("/e/bin/python3.12", served, 81) == ["/e/bin/python3.12", *module, *common, *more]
    plain = Served("q", Path("/a b"))
    assert server_command("serve '{model}' --port={port}", plain, 9) == ["serve", "/a b", "--port=9"]
    whole = "serve {model} --as {name} --port {port}"
    assert server_command(whole, served, 9) == ["serve", "/hub/q", "--as", "Qwen/Q", "--port", "9"]
    names = [name_in_requests(each, served) for each in ("/opt/vllm", whole, "serve {model} {port}", "serve {port}")]
    assert names == ["Qwen/Q", "Qwen/Q", "/hub/q", "Qwen/Q"]
    with pytest.raises(ParamsError, match=r"CURATOR_VLLM of the workers must name .* got none"):
        server_command(" ", plain, 9)


def running(pids: list[int]) -> list[int]:
    """Those that run; a zombie does not."""
    return [pid for pid in pids if Path(f"/proc/{pid}").exists() and state_of(pid) != "Z"]


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
