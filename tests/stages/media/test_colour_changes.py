"""Recordings of other colours that were joined: a clip ends where they change, and none has the tags of another."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple, cast

import av
import pytest
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from benchmarks.damage import Lengths, split
from stages.media.cut import cut_clip
from stages.media.encode import Encoding
from tests.stages.media.test_cut import job_of
from tests.toned_media import joined
from tests.videos import noise_shot

WHOLE = Lengths(60, 0.1)
NUM_FRAMES = 10


class Tags(NamedTuple):
    """As FFmpeg numbers them, with the pixel format."""

    transfer: int
    matrix: int
    primaries: int
    color_range: ColorRange = ColorRange.MPEG
    pixel_format: str = "yuv420p"


BT709 = Tags(1, 1, 1)
PQ = Tags(16, 9, 9)
HLG = Tags(18, 9, 9)


def piece(path: Path, tags: Tags, starts_s: float) -> Path:
    with av.open(str(path), "w", container_options={"mpegts_flags": "initial_discontinuity"}) as container:
        stream = cast(VideoStream, container.add_stream("libx264", rate=25, options={"bf": "0", "preset": "ultrafast"}))
        stream.width, stream.height, stream.pix_fmt = 96, 64, tags.pixel_format
        context = stream.codec_context
        context.color_trc, context.colorspace, context.color_primaries, context.color_range = tags[:4]
        for index, picture in enumerate(noise_shot(1, NUM_FRAMES)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=tags.pixel_format)
            frame.pts, frame.time_base = index + round(25 * starts_s), Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def joined_pieces(folder: Path, tags: list[Tags]) -> Path:
    pieces = [piece(folder / f"{at}.ts", each, at * NUM_FRAMES / 25) for at, each in enumerate(tags)]
    return joined(folder / "joined.ts", pieces)


@pytest.mark.parametrize(
    "other",
    [PQ, HLG, BT709._replace(matrix=5), BT709._replace(color_range=ColorRange.JPEG), BT709._replace(primaries=12)],
    ids=["pq", "hlg", "matrix", "range", "primaries"],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_change_of_colours_bounds_clips(tmp_path: Path, other: Tags, *, is_first: bool) -> None:
    tags = [other, BT709] if is_first else [BT709, other]
    clips = split(joined_pieces(tmp_path, tags), str(tmp_path / "root"), WHOLE)
    assert [(each.start_frame, each.end_frame) for each in clips] == [(0, NUM_FRAMES), (NUM_FRAMES, 2 * NUM_FRAMES)]
    assert [each.columns["is_hdr"] for each in clips] == [each.transfer in (16, 18) for each in tags]


def test_a_change_of_depth_bounds_clips(tmp_path: Path) -> None:
    tags = [BT709, BT709._replace(pixel_format="yuv420p10le")]
    clips = split(joined_pieces(tmp_path, tags), str(tmp_path / "root"), WHOLE)
    assert [each.columns["bit_depth"] for each in clips] == [8, 10]


def test_tags_that_show_the_same_bound_no_clips(tmp_path: Path) -> None:
    tags = [BT709, BT709._replace(transfer=2, primaries=6)]
    (clip,) = split(joined_pieces(tmp_path, tags), str(tmp_path / "root"), WHOLE)
    assert clip.num_frames == 2 * NUM_FRAMES


@pytest.mark.parametrize("mode", ["auto", "encode"])
@pytest.mark.parametrize("tags", [[PQ, BT709], [BT709, PQ]], ids=["hdr-first", "sdr-first"])
def test_each_part_has_its_own_tags(tmp_path: Path, tags: list[Tags], mode: Literal["auto", "encode"]) -> None:
    """The header of the stream tells the first part's, which a copied second part must not have."""
    source, target = joined_pieces(tmp_path, tags), tmp_path / "clip.mp4"
    for number, each in enumerate(tags):
        job = job_of(source, NUM_FRAMES * number, NUM_FRAMES * (number + 1), mode=mode)
        cut_clip(replace(job, encoding=Encoding("h264", 20, keeps_hdr=True)), str(target))
        with av.open(str(target)) as container:
            context = container.streams.video[0].codec_context
            assert (context.color_trc, context.colorspace) == (each.transfer, each.matrix)
