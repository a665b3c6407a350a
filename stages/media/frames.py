"""Writes frame stores: JPEGs of frames of a video."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import Self

import cv2
import pyarrow as pa
import pyarrow.parquet as pq

from stages import heartbeat
from stages.errors import CorruptStream, StageError
from stages.media.container import open_video, video_stream
from stages.media.decode import DecodedFrame, decode_frames
from stages.media.frame_store import (
    FOOTER_KEY,
    FrameStore,
    StoreDamaged,
    frames_key,
    store_path,
)
from stages.media.interlace import FieldsMeter
from stages.media.store_filler import StoreFiller
from stages.media.upright import UprightScaler, displayed_size, fit
from stages.schemas import FRAME_STORE_SCHEMA
from stages.storage import Storage
from stages.tasks import Size

JPEG_QUALITY = 90
ROW_GROUP = 64
"""Pictures in a row group of the file; the writer holds at most so many in memory."""


class PictureEncoder:
    """Makes the JPEGs of a frame store.

    Args:
        max_px: largest length of a picture's longest side.
    """

    def __init__(self, max_px: int) -> None:
        self._max_px = max_px
        self._scalers: dict[Size, UprightScaler] = {}

    def __call__(self, decoded: DecodedFrame) -> bytes:
        """The JPEG of a frame.

        Raises:
            StageError: the picture cannot be encoded.
        """
        size = fit(displayed_size(decoded.frame, decoded.pixel_aspect), self._max_px)
        if size not in self._scalers:
            self._scalers[size] = UprightScaler(size, pixel_format="bgr24")
        done, jpeg = cv2.imencode(".jpg", self._scalers[size](decoded.frame), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not done:
            raise StageError(f"Frame {decoded.index} must be encoded as JPEG, and OpenCV refused.")
        return jpeg.tobytes()


class StoreWriter:
    """Writes the frame store of a video to a local file; `close` publishes the whole file under its path.

    Args:
        storage: storage of the root.
        path: path below the root, from `store_path`.
        key: key in the footer, from `frames_key`.
        max_px: largest length of a picture's longest side.
    """

    def __init__(self, storage: Storage, path: str, *, key: str, max_px: int) -> None:
        self._storage = storage
        self._path = path
        self._encode = PictureEncoder(max_px)
        self._rows: list[dict[str, int | bytes]] = []
        handle, self._local = tempfile.mkstemp(suffix=".parquet")
        os.close(handle)
        self._schema = FRAME_STORE_SCHEMA.with_metadata({FOOTER_KEY: key.encode()})
        # Compression would not shrink JPEGs any further.
        self._writer = pq.ParquetWriter(self._local, self._schema, compression="none")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._local)

    def add(self, decoded: DecodedFrame) -> None:
        """Append one picture; PTS must rise.

        Raises:
            StageError: the picture cannot be encoded.
        """
        self.add_encoded(decoded.pts, decoded.index, self._encode(decoded))

    def add_encoded(self, pts: int, frame: int, jpeg: bytes) -> None:
        """Append a picture that a `PictureEncoder` made; PTS must rise."""
        self._rows.append({"pts": pts, "frame": frame, "jpeg": jpeg})
        if len(self._rows) >= ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Finish the file and publish it under its path."""
        self._flush()
        self._writer.close()
        self._storage.put_file(self._path, self._local)

    def written(self) -> FrameStore:
        """Open the frame store that `close` published, by its local copy.

        The published file may have been replaced meanwhile by another run with other parameters. The local file is
        unlinked when the writer exits, and its bytes stay on the disk until the returned store is closed.

        Raises:
            StageError: the local copy cannot be read.
        """
        with contextlib.ExitStack() as stack:
            try:
                return FrameStore(stack.enter_context(open(self._local, "rb")), self._local, stack)
            except StoreDamaged as error:
                location = self._storage.location(self._path)
                raise StageError(f"The frame store {location} was written and must be readable, and is not.") from error

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []


def rebuild_store(storage: Storage, uri: str, partition: str, video_id: str, *, fps: float, max_px: int) -> FrameStore:
    """Rebuild the frame store of a video by one decode, and return the store, which the caller closes.

    Counts the counters ``rebuilt_frame_stores`` and ``decoded_frames``. For a stream that breaks, the store holds the
    pictures before the fault, as the one that split made.

    Raises:
        SourceError: the source cannot be opened, or no frame of it decodes.
    """
    key, path = frames_key(video_id, fps, max_px), store_path(partition, video_id)
    heartbeat.count("rebuilt_frame_stores")
    with open_video(uri) as container:
        stream = video_stream(container)
        with StoreWriter(storage, path, key=key, max_px=max_px) as writer:
            filler = StoreFiller(writer.add, fps, stream.time_base or Fraction(1, 1), meter=FieldsMeter())
            for decoded in _until_broken(decode_frames(container)):
                filler.push(decoded)
            filler.finish()
            writer.close()
            return writer.written()


def _until_broken(frames: Iterator[DecodedFrame]) -> Iterator[DecodedFrame]:
    try:
        for decoded in frames:
            heartbeat.count("decoded_frames")
            yield decoded
    except CorruptStream as error:
        if error.pts is None:
            raise
