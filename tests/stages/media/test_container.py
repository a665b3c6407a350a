"""Opening sources: what is refused, and whose fault it is."""

import os
import resource
from pathlib import Path

import pytest

from stages.errors import NoVideoStream, SourceGone, StorageUnavailable, UnreadableSource
from stages.media.container import open_video, video_stream
from tests.videos import noise_shot, song_with_cover, write_video


def test_video_stream_rejects_cover_art(tmp_path: Path) -> None:
    with open_video(str(song_with_cover(tmp_path / "song.mp4"))) as container:
        assert len(container.streams.video) == 1
        with pytest.raises(NoVideoStream, match="must hold a video stream, got none"):
            video_stream(container)


def test_open_video_rejects_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video")
    for name in ("empty.mp4", "text.mp4"):
        with pytest.raises(UnreadableSource, match="must be a whole video file"), open_video(str(tmp_path / name)):
            pass
    with pytest.raises(SourceGone, match="not there any more"), open_video(str(tmp_path / "none.mp4")):
        pass


HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXTINF:2,\nsecret.mp4\n#EXT-X-ENDLIST\n"
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
SRT = "1\n00:00:00,000 --> 00:00:01,000\nhello\n\n2\n00:00:02,000 --> 00:00:03,000\nhi\n"


@pytest.mark.parametrize("head", ["", "local://"])
@pytest.mark.parametrize("name", ["a.mp4", "a.m3u8", "a.sdp", "a%d.png"])
@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile 'secret.mp4'\n", HLS, SDP, SRT], ids=["concat", "hls", "sdp", "srt"]
)
def test_open_video_rejects_a_text_that_names_other_files(tmp_path: Path, text: str, name: str, head: str) -> None:
    os.mkfifo(tmp_path / "secret.mp4")  # whoever opens it waits for ever
    (tmp_path / name).write_text(text)
    uri = f"{head}{tmp_path / name}"
    with pytest.raises(UnreadableSource, match="must be a whole video file") as caught, open_video(uri):
        pass
    assert caught.value.uri == uri


def test_open_video_rejects_playlists_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("ffconcat version 1.0\nfile 'secret.mp4'\n")
    with pytest.raises(UnreadableSource, match="no video container of its own"), open_video(str(tmp_path / "a.mp4")):
        pass


def test_open_video_rejects_a_failing_disk_as_passing(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to("/proc/self/mem")  # nothing is mapped at its beginning
    with pytest.raises(StorageUnavailable, match="Input/output error"), open_video(str(tmp_path / "a.mp4")):
        pass


def test_open_video_rejects_too_many_open_files_as_passing(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", noise_shot(1, 3))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.open(path, os.O_RDONLY)  # the lowest number that is free
    os.close(spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare, limits[1]))
    try:
        with pytest.raises(StorageUnavailable, match="Too many open files"), open_video(str(path)):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
