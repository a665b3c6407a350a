"""Handling of the signals that interrupt a run while a call of Ray waits."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def signals_as_keyboard_interrupt() -> Iterator[None]:
    """SIGINT and SIGTERM raise KeyboardInterrupt inside the block.

    Inside a step Dagster raises an exception class of its own. Ray's wait notices that only after its timeout and turns
    it into a SystemError, so that Dagster takes the run for failed instead of canceled. Dagster knows both classes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.default_int_handler) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
