"""Counts the frames of a written clip. Imports FFmpeg, so it is imported by name at the first call."""

from av.error import FFmpegError

from stages.errors import CorruptStream, UnreadableSource
from stages.media import open_video, video_stream


def count_frames(location: str) -> int:
    """Number of frames in a clip's file. Every packet is read.

    No packet is decoded: the caller is no worker, and a packet that crashes the decoder would end the run.

    Raises:
        SourceError: the file is missing, is no video, or is truncated.
        StorageUnavailable: the store does not answer.
    """
    with open_video(location) as container:
        count = 0
        try:
            for packet in container.demux(video_stream(container)):
                if packet.is_corrupt:
                    raise CorruptStream(location, f"Frame {count} must be whole, got a part of it: {location}.")
                count += packet.size > 0
        except FFmpegError as error:
            raise UnreadableSource(location, f"The packets cannot be read: {error.strerror or error}.") from error
        return count
