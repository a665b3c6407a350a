"""The cleanup process ends what its Ray started, and no process that only names its folder or reads there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from stages.executors import cleanup_process

SLEEP = [sys.executable, "-c", "print(flush=True); import time; time.sleep(60)"]
READ = [sys.executable, "-c", "import sys, time; held = open(sys.argv[1]); print(flush=True); time.sleep(60)"]
WRITE = [sys.executable, "-c", "import sys, time; held = open(sys.argv[1], 'a'); print(flush=True); time.sleep(60)"]


@contextmanager
def running(command: list[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has printed its first line; ended with the block."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **environment}) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_cleanup_ends_processes_of_its_ray_and_no_others(tmp_path: Path) -> None:
    folder, scratch = tmp_path / "session", tmp_path / "scratch"
    (folder / "logs").mkdir(parents=True)
    scratch.mkdir()
    log = folder / "logs" / "raylet.out"
    log.touch()
    with ExitStack() as stack:
        users = [stack.enter_context(running(command)) for command in ([*SLEEP, str(folder)], [*READ, str(log)])]
        ours = [stack.enter_context(running(SLEEP, **{cleanup_process.SESSION_VARIABLE: str(folder)}))]
        ours.append(stack.enter_context(running([*WRITE, str(log)])))
        users.append(stack.enter_context(running(SLEEP, **{cleanup_process.SESSION_VARIABLE: f"{folder}2"})))
        command = [sys.executable, "-I", cleanup_process.__file__, str(folder), str(scratch)]
        subprocess.run(command, input=cleanup_process.CLEAN_EXIT, check=True, timeout=30)
        assert [process.wait(timeout=10) for process in ours] == [-9, -9]
        assert [process.poll() for process in users] == [None] * 3
    assert list(tmp_path.iterdir()) == []
