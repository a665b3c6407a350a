"""A store in the memory of this process, of which each request takes a while, and which can be full."""

import errno
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class DelayedFileSystem(MemoryFileSystem):
    """The store.

    Attributes:
        delay_s: of each request.
        full_after: writes that still succeed; None for any number.
        requests: the thread that made each request.
        most_at_once: most requests that waited for their answers at once.
    """

    protocol = ("delayed",)
    store: ClassVar[dict[str, Any]] = {}  # pyrefly: ignore[bad-override] # as in its base class
    pseudo_dirs: ClassVar[list[str]] = [""]  # pyrefly: ignore[bad-override] # as in its base class
    delay_s: ClassVar[float] = 0.0
    full_after: ClassVar[int | None] = None
    requests: ClassVar[list[int]] = []
    most_at_once: ClassVar[int] = 0
    _waiting: ClassVar[set[int]] = set()

    def find(self, *args: Any, **kwargs: Any) -> Any:
        self._wait()
        return super().find(*args, **kwargs)

    def cat_file(self, *args: Any, **kwargs: Any) -> bytes:
        self._wait()
        return super().cat_file(*args, **kwargs)

    def pipe_file(self, *args: Any, **kwargs: Any) -> Any:
        self._wait()
        cls = type(self)
        if cls.full_after is not None:
            if not cls.full_after:
                raise OSError(errno.ENOSPC, "No space left on device")
            cls.full_after -= 1
        return super().pipe_file(*args, **kwargs)

    def _wait(self) -> None:
        cls = type(self)
        cls.requests.append(threading.get_ident())
        cls._waiting.add(threading.get_ident())
        cls.most_at_once = max(cls.most_at_once, len(cls._waiting))
        time.sleep(cls.delay_s)
        cls._waiting.discard(threading.get_ident())


@contextmanager
def delayed_store(delay_s: float = 0.0) -> Iterator[type[DelayedFileSystem]]:
    """An empty store at ``delayed://`` until the end of the block."""
    fsspec.register_implementation("delayed", DelayedFileSystem, clobber=True)
    DelayedFileSystem.delay_s, DelayedFileSystem.most_at_once = delay_s, 0
    try:
        yield DelayedFileSystem
    finally:
        DelayedFileSystem.delay_s, DelayedFileSystem.full_after = 0.0, None
        DelayedFileSystem.store.clear()
        DelayedFileSystem.requests.clear()
