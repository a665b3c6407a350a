"""What waits for another process: as long as anything moves, and no longer."""

import subprocess
import sys
import time
from itertools import count

import pytest

from tests.faults import waiting
from tests.faults.cpu_time import CpuTime
from tests.faults.waiting import run_command, wait_for, wait_until

SPIN = "import time\nuntil = time.process_time() + {0}\nwhile time.process_time() < until: pass"
STARTS = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"


@pytest.fixture(autouse=True)
def stall_timeout_s(monkeypatch: pytest.MonkeyPatch) -> float:
    """Shorter limits; returns the stall timeout."""
    monkeypatch.setattr(waiting, "CHECK_INTERVAL_S", 0.05)
    monkeypatch.setattr(waiting, "STALL_TIMEOUT_S", 1.5)
    return 1.5


def test_wait_ends_where_nothing_moves() -> None:
    with pytest.raises(AssertionError, match=r"nothing moved for \d+ s \(0.0 s of CPU\): 'as before'"):
        wait_until(lambda: False, describe=lambda: "as before")


def test_wait_goes_on_as_long_as_the_described_state_changes(stall_timeout_s: float) -> None:
    steps, started = count(), time.monotonic()
    limit_s = 2 * stall_timeout_s
    assert wait_until(lambda: time.monotonic() - started > limit_s, describe=lambda: next(steps)) > limit_s


def test_wait_goes_on_as_long_as_a_process_of_the_command_works(stall_timeout_s: float) -> None:
    started = time.monotonic()
    done = run_command([sys.executable, "-c", STARTS, SPIN.format(2 * stall_timeout_s)])
    assert (done.returncode, time.monotonic() - started > 2 * stall_timeout_s) == (0, True)


def test_command_that_stands_still_is_ended() -> None:
    started = time.monotonic()
    with pytest.raises(AssertionError, match=r"nothing moved for .* CPU\): .*time.sleep\(600\)"):
        run_command([sys.executable, "-c", "import time; time.sleep(600)"])
    assert time.monotonic() - started < 600


def test_wait_for_a_process_tells_what_it_printed_where_it_ended_before() -> None:
    with (
        subprocess.Popen([sys.executable, "-c", "print('tired')"], stdout=subprocess.PIPE, text=True) as process,
        pytest.raises(AssertionError, match=r"ended before: \('tired\\n', None\)"),
    ):
        wait_for(process, lambda: False)


def test_cpu_time_keeps_what_ended_processes_used() -> None:
    with subprocess.Popen([sys.executable, "-c", f"{STARTS}\nsys.stdin.read()", SPIN.format(0.5)], stdin=-1) as process:
        cpu_time = CpuTime(process.pid)
        wait_until(lambda: cpu_time.seconds() >= 0.5, describe=cpu_time.seconds)
        used_s = cpu_time.seconds()
        process.kill()
    assert cpu_time.seconds() >= used_s
