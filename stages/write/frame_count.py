"""Reading a written clip back. Loads FFmpeg; loaded by name."""

from av.error import FFmpegError

from stages.errors import CorruptStream, UnreadableSource
from stages.media import open_video, video_stream


def count_frames(location: str) -> int:
    """Frames in a clip's file, by its packets, each of which is read.

    None is decoded: who calls this is no worker, and a packet that crashes a decoder would take the run with it.

    Raises:
        SourceError: it is not there, is no video, or breaks off.
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
