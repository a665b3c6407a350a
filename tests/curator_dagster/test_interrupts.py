import signal
import threading
from types import FrameType

import pytest

from curator_dagster.interrupts import signals_as_keyboard_interrupt


class OtherInterruptError(BaseException):
    """What a handler around the block raises, as Dagster's does."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_raise_keyboard_interrupt_inside_only(number: signal.Signals) -> None:
    def outer(_number: int, _frame: FrameType | None) -> None:
        raise OtherInterruptError

    before = signal.signal(number, outer)
    try:
        with pytest.raises(KeyboardInterrupt), signals_as_keyboard_interrupt():
            signal.raise_signal(number)
        with pytest.raises(OtherInterruptError):
            signal.raise_signal(number)
    finally:
        signal.signal(number, before)


def test_signals_are_left_alone_outside_the_main_thread() -> None:
    entered: list[bool] = []

    def work() -> None:
        with signals_as_keyboard_interrupt():
            entered.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [True]
