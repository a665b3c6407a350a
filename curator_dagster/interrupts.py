"""Signals that end a run, while Ray waits."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def plain_interrupts() -> Iterator[None]:
    """SIGINT and SIGTERM raise KeyboardInterrupt inside the block.

    Inside a step Dagster raises a class of its own, which Ray's wait does not notice before its timeout and then
    turns into a SystemError; Dagster would take the run for failed instead of canceled. It knows both classes.
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
