"""The file of an open container, of which headers are read that FFmpeg does not hand on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from av.container import InputContainer


class File(Protocol):
    """What is read of a file that is open."""

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a byte."""
        ...


@contextmanager
def header_file(container: InputContainer) -> Iterator[File | None]:
    """The container's file, to be read anywhere: FFmpeg reads on where it stopped. None for what is no file."""
    file = getattr(container.file, "file", None)
    if file is None:
        yield None
        return
    place = file.tell()
    try:
        yield file
    finally:
        file.seek(place)
