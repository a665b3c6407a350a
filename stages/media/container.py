"""Opening a source so that its own bytes, and nothing else on this machine or the network, are read."""

import contextlib
import errno
from collections.abc import Iterator
from typing import IO

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from stages.errors import NoVideoStream, StorageUnavailable, UnreadableSource
from stages.storage import open_source

MAX_PIXELS = 1 << 27
"""Of a picture as coded; 16K (15360x8640) has fewer. A header of 126 bytes can ask for 16 pictures of any size."""

CONTAINERS = (
    "mov,matroska,webm,mpegts,mpeg,avi,flv,live_flv,kux,asf,asf_o,ogg,mxf,nut,rm,wtv,gxf,dv,ivf,nsv,nuv,pva,ty,dhav,"
    "r3d,swf,yuv4mpegpipe,gif,apng,mpegvideo,m4v,h261,h263,h264,hevc,vvc,evc,av1,obu,vc1,dirac,cavsvideo,mjpeg,mpjpeg,"
    "aac,ac3,eac3,aiff,amr,ape,au,caf,dts,flac,mp3,truehd,wav"  # sound alone, so that the error says so
)
"""Formats of FFmpeg whose demuxers read nothing but the one file. Playlists, session descriptions, scripts of files
and subtitles name others, whatever the file itself is called."""

_OPTIONS = {
    # FFmpeg compares the format that it found with the list before the demuxer reads anything.
    "format_whitelist": CONTAINERS,
    "protocol_whitelist": "none",  # the source itself is read through its handle
    "max_pixels": str(MAX_PIXELS),  # for the decoders that FFmpeg opens to find out what the streams are
}


_MEANT = {
    # All that FFmpeg says of a format that is not on the list.
    errno.EINVAL: "a bad header, or no video container of its own (but a playlist, subtitles, a picture, ...)",
    errno.ENOMEM: "a header that tells of more streams (1000), frames or bytes than FFmpeg takes",
}


@contextlib.contextmanager
def open_video(uri: str) -> Iterator[InputContainer]:
    """An open container, read by ranges. Nothing in a file's name is taken for a protocol.

    No other file is opened, and no connection made, whatever the source says: see `CONTAINERS`.

    Raises:
        UnreadableSource: empty, no container of its own, or its header is damaged.
        SourceGone: it is not there.
        StorageUnavailable: the disk or the store does not answer, or refuses; also at the end of the block, where
            FFmpeg took that for the end of the file or for damage.
    """
    with open_source(uri) as opened:
        handle = _Handle(uri, opened)
        try:
            with _open(handle) as container:
                yield container
        finally:
            handle.check()


class _Handle:
    """A source's handle under the name by which PyAV's container then goes; it remembers what reading failed with."""

    def __init__(self, uri: str, handle: IO[bytes]) -> None:
        self.name = uri
        self.tell = handle.tell
        self._read, self._seek = handle.read, handle.seek
        self._failure: OSError | None = None

    def read(self, size: int) -> bytes:
        """The next bytes; once that has failed, never again, so that nobody takes it for the end."""
        if self._failure is not None:
            raise self._failure
        try:
            return self._read(size)
        except OSError as error:
            self._failure = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go elsewhere; a place that no file has is FFmpeg's own affair, and raises nothing."""
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -errno.EINVAL

    def check(self) -> None:
        """Nothing happens unless reading failed.

        Raises:
            StorageUnavailable: it did.
        """
        if self._failure is not None:
            raise StorageUnavailable(
                self.name,
                f"The source cannot be read on: {self._failure}: {self.name}. It is tried again by the next run.",
            ) from self._failure


def _open(handle: _Handle) -> InputContainer:
    try:
        return av.open(handle, "r", metadata_errors="replace", options=_OPTIONS)
    except FFmpegError as error:
        told = _MEANT.get(error.errno or 0, error.strerror or str(error))
        raise UnreadableSource(
            handle.name,
            f"The source must be a whole video file, got {told}: {handle.name}. "
            "Copy it again, or leave it out with read.exclude.",
        ) from error


def video_stream(container: InputContainer) -> VideoStream:
    """The first stream of moving pictures; cover art and thumbnails are none.

    Raises:
        NoVideoStream: there is none.
        UnreadableSource: there is one, and no decoder for it, or its pictures are larger than `MAX_PIXELS`.
    """
    stills = Disposition.attached_pic | Disposition.timed_thumbnails
    for stream in container.streams.video:
        if not stream.disposition & stills:
            _check_decodable(container.name, stream)
            return stream
    raise NoVideoStream(
        container.name,
        f"The source must hold a video stream, got none: {container.name}. Leave it out with read.exclude.",
    )


def _check_decodable(uri: str, stream: VideoStream) -> None:
    if stream.codec_context is None:
        raise UnreadableSource(uri, f"The video stream requires a decoder that this FFmpeg lacks: {uri}.")
    if stream.width * stream.height > MAX_PIXELS:
        raise UnreadableSource(
            uri,
            f"A picture must have at most {MAX_PIXELS} pixels, the source's are {stream.width}x{stream.height}: {uri}. "
            "Scale it down, or leave it out with read.exclude.",
        )
