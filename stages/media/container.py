"""Opens a source as an FFmpeg container that reads the source's bytes and no other file or connection."""

import contextlib
import errno
from collections.abc import Iterator
from typing import IO

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from stages.errors import NoVideoStream, StorageUnavailable, UnreadableSource
from stages.media.stream_choice import best_video_stream
from stages.storage import open_source

MAX_PIXELS = 1 << 27
"""Limit of the coded size; 16K (15360x8640) has fewer. A header of 126 bytes can ask for 16 frames of any size."""

FORMAT_WHITELIST = (
    "mov,matroska,webm,mpegts,mpeg,avi,flv,live_flv,kux,asf,asf_o,ogg,mxf,nut,rm,wtv,gxf,dv,ivf,nsv,nuv,pva,ty,dhav,"
    "r3d,swf,yuv4mpegpipe,gif,apng,mpegvideo,m4v,h261,h263,h264,hevc,vvc,evc,av1,obu,vc1,dirac,cavsvideo,mjpeg,mpjpeg,"
    "aac,ac3,eac3,aiff,amr,ape,au,caf,dts,flac,mp3,truehd,wav"  # audio only, so that the error is NoVideoStream
)
"""FFmpeg formats whose demuxers read nothing but the one file. Demuxers of playlists, session descriptions, concat
scripts and subtitles open further files, and FFmpeg chooses a demuxer by content, not by the file's name."""

_OPTIONS = {
    # FFmpeg compares the probed format with the list before the demuxer reads anything.
    "format_whitelist": FORMAT_WHITELIST,
    "protocol_whitelist": "none",  # the source itself is read through a Python file object
    "max_pixels": str(MAX_PIXELS),  # for the decoders that FFmpeg opens to analyse the streams
}

_ERROR_CAUSES = {
    # FFmpeg reports a format that is not whitelisted as EINVAL, with no further detail.
    errno.EINVAL: "a bad header, or no video container of its own (but a playlist, subtitles, a picture, ...)",
    errno.ENOMEM: "a header that tells of more streams (1000), frames or bytes than FFmpeg takes",
}


@contextlib.contextmanager
def open_video(uri: str) -> Iterator[InputContainer]:
    """Open a source as a container that is read by byte ranges. A URI's prefix is never taken for an FFmpeg protocol.

    No other file is opened and no connection made, whatever the source contains: see `FORMAT_WHITELIST`.

    Raises:
        UnreadableSource: the source is empty, is not a container, or has a damaged header.
        SourceGone: the source does not exist.
        StorageUnavailable: the disk or the store does not answer, or refuses. Raised at the end of the block too, where
            FFmpeg took the read error for the end of the file or for damage.
    """
    with open_source(uri) as opened, open_video_file(uri, opened) as container:
        yield container


@contextlib.contextmanager
def open_video_file(name: str, opened: IO[bytes]) -> Iterator[InputContainer]:
    """Open a video that is open as a file, or lies in memory; as `open_video` does. The name is for messages.

    Raises:
        UnreadableSource: as `open_video`.
        StorageUnavailable: as `open_video`.
    """
    handle = _SourceHandle(name, opened)
    try:
        with _open_container(handle) as container:
            yield container
    finally:
        handle.raise_read_error()


class _SourceHandle:
    """A source's file object for PyAV, which takes the container's name from it; keeps the first read error."""

    def __init__(self, uri: str, handle: IO[bytes]) -> None:
        self.name = uri
        self.tell = handle.tell
        self._read, self._seek = handle.read, handle.seek
        self._read_error: OSError | None = None

    def read(self, size: int) -> bytes:
        """The next bytes. After a read error, every call raises it again: it must not be taken for EOF."""
        if self._read_error is not None:
            raise self._read_error
        try:
            return self._read(size)
        except OSError as error:
            self._read_error = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek; an offset that no file has gives FFmpeg an error code instead of an exception."""
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -errno.EINVAL

    def raise_read_error(self) -> None:
        """Raise the read error, if there was one.

        Raises:
            StorageUnavailable: a read failed.
        """
        if self._read_error is not None:
            raise StorageUnavailable(
                self.name,
                f"The source cannot be read on: {self._read_error}: {self.name}. It is tried again by the next run.",
            ) from self._read_error


def _open_container(handle: _SourceHandle) -> InputContainer:
    try:
        return av.open(handle, "r", metadata_errors="replace", options=_OPTIONS)
    except FFmpegError as error:
        cause = _ERROR_CAUSES.get(error.errno or 0, error.strerror or str(error))
        raise UnreadableSource(
            handle.name,
            f"The source must be a whole video file, got {cause}: {handle.name}. "
            "Copy it again, or leave it out with read.exclude.",
        ) from error


def video_stream(container: InputContainer) -> VideoStream:
    """The video stream that a player shows, see `best_video_stream`; never cover art or thumbnails.

    Raises:
        NoVideoStream: the container has no such stream.
        UnreadableSource: FFmpeg has no decoder for the stream, or its frames are larger than `MAX_PIXELS`.
    """
    stream = best_video_stream(container)
    if stream is None:
        raise NoVideoStream(
            container.name,
            f"The source must hold a video stream, got none: {container.name}. Leave it out with read.exclude.",
        )
    _check_decodable(container.name, stream)
    return stream


def _check_decodable(uri: str, stream: VideoStream) -> None:
    if stream.codec_context is None:
        raise UnreadableSource(uri, f"The video stream requires a decoder that this FFmpeg lacks: {uri}.")
    if stream.width * stream.height > MAX_PIXELS:
        raise UnreadableSource(
            uri,
            f"A picture must have at most {MAX_PIXELS} pixels, the source's are {stream.width}x{stream.height}: {uri}. "
            "Scale it down, or leave it out with read.exclude.",
        )
