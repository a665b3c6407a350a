"""A value that is made once, by whichever thread asks for it first."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Calls a function when the value is first asked for; other threads that ask meanwhile wait.

    Where the function raises, whoever asks next calls it again.

    Attributes:
        is_known: the value is there.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self.is_known = False
        self._make = make
        self._lock = threading.Lock()

    @property
    def value(self) -> T:
        """The value."""
        with self._lock:
            if not self.is_known:
                self._value = self._make()
                self.is_known = True
            return self._value
