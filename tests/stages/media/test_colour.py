"""Colours of pictures in the frame store and in encoded clips.

The bars are coded by the formulas of BT.601, BT.709 and BT.2100. Bars in 4:2:0 and 4:4:4, 8 and 10 bit, that the ffmpeg
command made and read by zscale, were read within 2 levels of it.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stages.media import tone_mapping
from stages.media.colour import Colour
from stages.media.container import open_video, video_stream
from stages.media.cut import ClipFile, CutJob, cut_clip
from stages.media.decode import decode_frames
from stages.media.encode import Encoding
from stages.media.stream_copy import NotCopyable
from stages.media.upright import UprightScaler, upright
from stages.tasks import Size, Span

BARS = np.array(
    [(235, 235, 235), (230, 20, 20), (20, 230, 20), (20, 20, 230), (16, 16, 16), (200, 200, 40), (90, 160, 200)], float
)
PALE_BARS = np.maximum(BARS, 100)
"""Without components so dark that rounding of the others to 10 bit changes them by more than 2 levels."""
WIDTH, HEIGHT = 16 * len(BARS), 32
PQ, HLG, BT2020, YCGCO = 16, 18, 9, 8
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), BT2020: (0.2627, 0.0593)}
"""Shares of red and blue in luma, by AVColorSpace."""
TO_BT2020 = np.array([[0.627404, 0.329283, 0.043313], [0.069097, 0.91954, 0.011362], [0.016391, 0.088013, 0.895595]])
"""Linear RGB of BT.709 to that of BT.2020 (BT.2087)."""


def to_yuv(rgb: NDArray[np.floating], matrix: int, *, full: bool, bits: int) -> NDArray[np.floating]:
    """Levels of YUV for RGB of 0 to 1, both ``[N, 3]``."""
    red, blue = WEIGHTS[matrix]
    luma = rgb @ [red, 1 - red - blue, blue]
    chroma = [(rgb[:, 2] - luma) / (2 - 2 * blue), (rgb[:, 0] - luma) / (2 - 2 * red)]
    unit, top = 1 << (bits - 8), (1 << bits) - 1
    scale, offset, chroma_scale = (top, 0, top) if full else (219 * unit, 16 * unit, 224 * unit)
    return np.stack([luma * scale + offset, *(each * chroma_scale + 128 * unit for each in chroma)], axis=1)


def planes(levels: NDArray[np.floating], kind: type) -> NDArray[Any]:
    """Bars as a packed 4:2:0 picture."""
    rows = np.repeat(np.rint(levels), 16, axis=0).T
    luma = np.tile(rows[0], (HEIGHT, 1))
    chroma = [np.tile(row[::2], (HEIGHT // 2, 1)) for row in rows[1:]]
    return np.concatenate([luma.ravel(), *(each.ravel() for each in chroma)]).reshape(-1, WIDTH).astype(kind)


def write_bars(path: Path, picture: NDArray[Any], pixel_format: str, tags: tuple[int, int, int], full: bool) -> Path:
    """Three lossless frames with tags for matrix, primaries and transfer; 2 leaves one out."""
    with av.open(str(path), "w") as container:
        stream = cast(VideoStream, container.add_stream("ffv1", rate=25))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = tags
        context.color_range = 2 if full else 1
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24" if pixel_format == "bgr0" else pixel_format)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def hdr_bars(path: Path, transfer: int, nits: NDArray[np.floating]) -> Path:
    """Bars of linear light of BT.709, in nits, coded by PQ or HLG in BT.2020."""
    light = np.maximum(nits @ TO_BT2020.T, 0)
    if transfer == PQ:
        power = (light / 10_000) ** (2610 / 16384)
        signal = ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    else:
        scene = (light / 1000) ** (1 / 1.2)
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)
    levels = to_yuv(signal, BT2020, full=False, bits=10)
    return write_bars(path, planes(levels, np.uint16), "yuv420p10le", (BT2020, 9, transfer), full=False)


def bar_colours(picture: NDArray[np.generic]) -> NDArray[np.floating]:
    """Mean colour in the middle of each bar."""
    step = picture.shape[1] // len(BARS)
    return np.array([picture[8:-8, n * step + 6 : (n + 1) * step - 6].reshape(-1, 3).mean(0) for n in range(len(BARS))])


def first_frame(path: Path) -> av.VideoFrame:
    with open_video(str(path)) as container:
        return next(decode_frames(container)).frame


def stored(path: Path) -> NDArray[np.floating]:
    """The bars as the frame store has them."""
    return bar_colours(upright(first_frame(path), Size(WIDTH, HEIGHT)))


def encode(path: Path, encoding: Encoding, mode: str = "encode") -> tuple[Path, ClipFile]:
    with open_video(str(path)) as container:
        time_base = video_stream(container).time_base or Fraction(1)
    target = path.with_suffix(".mp4")
    span = Span(0, int(3 / 25 / time_base), time_base)
    return target, cut_clip(CutJob(str(path), span, 3, True, mode, encoding), str(target))  # type: ignore[arg-type]


@pytest.mark.parametrize("tagged", [True, False])
@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("matrix", [1, 5])
def test_yuv_keeps_its_colours(tmp_path: Path, matrix: int, full: bool, tagged: bool) -> None:
    picture = planes(to_yuv(BARS / 255, matrix, full=full, bits=8), np.uint8)
    path = write_bars(tmp_path / "a.mkv", picture, "yuv420p", (matrix if tagged else 2, 2, 2), full)
    if matrix == 1 and not tagged:
        assert Colour.of(first_frame(path)).matrix == 5, "an untagged small picture is of BT.601"
        return
    assert stored(path) == pytest.approx(BARS, abs=2)
    clip, _ = encode(path, Encoding("h264", 1))
    frame = first_frame(clip)
    assert (frame.colorspace, frame.color_range) == (matrix, 1)
    assert stored(clip) == pytest.approx(BARS, abs=2)


@pytest.mark.parametrize(("width", "height", "matrix"), [(1280, 534, 1), (1024, 576, 5), (720, 1280, 1), (854, 480, 5)])
def test_untagged_pictures_have_the_matrix_of_their_size(width: int, height: int, matrix: int) -> None:
    frame = av.VideoFrame(width, height, "yuv420p")
    assert Colour.of(frame).matrix == matrix


@pytest.mark.parametrize(("width", "matrix"), [(1280, 1), (640, 5)])
@pytest.mark.parametrize("bits", [8, 10])
def test_untagged_pictures_are_read_by_that_matrix(width: int, matrix: int, bits: int) -> None:
    bars = planes(to_yuv(BARS / 255, matrix, full=False, bits=bits), np.uint8 if bits == 8 else np.uint16)
    picture = np.zeros((bars.shape[0], width), bars.dtype)
    for plane, rows in ((0, slice(0, HEIGHT)), (1, slice(HEIGHT, HEIGHT * 3 // 2))):
        part = bars[rows] if plane == 0 else bars[rows].reshape(HEIGHT, WIDTH // 2)
        wide = np.repeat(part, -(-width // WIDTH), axis=1)[:, : width if plane == 0 else width // 2]
        picture[rows] = wide.reshape(-1, width)
    frame = av.VideoFrame.from_ndarray(picture, format="yuv420p" if bits == 8 else "yuv420p10le")
    scale = -(-width // WIDTH)
    found = upright(frame, Size(width, HEIGHT))[16, [scale * (16 * n + 8) for n in range(len(BARS) - 1)]]
    assert found == pytest.approx(BARS[:-1], abs=2)


def test_rgb_becomes_tagged_bt709(tmp_path: Path) -> None:
    picture = np.tile(np.repeat(BARS, 16, axis=0).astype(np.uint8), (HEIGHT, 1, 1))
    path = write_bars(tmp_path / "a.mkv", picture, "bgr0", (0, 2, 2), full=True)
    assert stored(path) == pytest.approx(BARS, abs=1)
    clip, _ = encode(path, Encoding("h264", 1))
    frame = first_frame(clip)
    assert (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range) == (1, 1, 1, 1)
    assert stored(clip) == pytest.approx(BARS, abs=2)


def sdr_nits() -> NDArray[np.floating]:
    """Light of the pale bars on an SDR display (BT.1886) whose white has 203 nits."""
    return 203 * (PALE_BARS / 255) ** 2.4


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_below_white_is_shown_as_it_is(tmp_path: Path, transfer: int) -> None:
    path = hdr_bars(tmp_path / "a.mkv", transfer, sdr_nits())
    assert stored(path) == pytest.approx(PALE_BARS, abs=2)
    clip, cut = encode(path, Encoding("h264", 1, peak_nits=203))
    frame = first_frame(clip)
    assert cut.codec == "h264"
    assert (frame.format.name, frame.colorspace, frame.color_primaries, frame.color_trc) == ("yuv420p", 1, 1, 1)
    assert stored(clip) == pytest.approx(PALE_BARS, abs=2)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_is_kept_on_request(tmp_path: Path, transfer: int) -> None:
    path = hdr_bars(tmp_path / "a.mkv", transfer, sdr_nits())
    clip, cut = encode(path, Encoding("h264", 4, keeps_hdr=True))
    frame = first_frame(clip)
    assert cut.codec == "hevc"
    assert (frame.format.name, frame.colorspace, frame.color_primaries, frame.color_trc) == (
        "yuv420p10le",
        BT2020,
        9,
        transfer,
    )
    assert b"hvc1" in clip.read_bytes()
    assert stored(clip) == pytest.approx(PALE_BARS, abs=3)


def test_hdr_is_copied_on_request_only(tmp_path: Path) -> None:
    clip, _ = encode(hdr_bars(tmp_path / "a.mkv", PQ, sdr_nits()), Encoding("h264", 4, keeps_hdr=True))
    source = clip.rename(tmp_path / "source.mp4")
    with pytest.raises(NotCopyable, match=r"write\.hdr=keep"):
        encode(source.rename(tmp_path / "b.mkv"), Encoding("h264", 4), "copy")
    copied, cut = encode(tmp_path / "b.mkv", Encoding("h264", 4, keeps_hdr=True), "copy")
    assert cut.method == "copy"
    assert first_frame(copied).color_trc == PQ


def bt2390(nits: float, peak: float) -> float:
    """The EETF of ITU-R BT.2390 with black 0, written out for one value."""

    def pq(light: float) -> float:
        power = (light / 10_000) ** (2610 / 16384)
        return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)

    e1, largest = pq(nits) / pq(peak), pq(203) / pq(peak)
    knee = 1.5 * largest - 0.5
    t = (e1 - knee) / (1 - knee)
    p = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * largest
    power = ((p if e1 >= knee else e1) * pq(peak)) ** (32 / 2523)
    return 10_000 * (max(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)) ** (16384 / 2610)


@pytest.mark.parametrize("peak", [400.0, 1000.0, 4000.0])
def test_highlights_are_rolled_off_by_bt2390(tmp_path: Path, peak: float) -> None:
    nits = np.array([5, 50, 100, 203, 300, 0.8 * peak, peak])
    path = hdr_bars(tmp_path / "a.mkv", PQ, np.repeat(nits[:, None], 3, axis=1))
    expected = [255 * (bt2390(value, peak) / 203) ** (1 / 2.4) for value in nits]
    picture = UprightScaler(Size(WIDTH, HEIGHT), peak_nits=peak)(first_frame(path))
    assert bar_colours(picture)[:, 0] == pytest.approx(expected, abs=1.5)
    assert expected[-1] == pytest.approx(255, abs=0.1)
    assert bar_colours(picture).std(axis=1).max() < 1


def test_peak_is_the_luminance_of_all_but_single_pixels() -> None:
    light = np.full((100, 100, 3), 80, np.float32)
    light[0, :5] = 4000
    assert tone_mapping.peak_of(light) == pytest.approx(80)
    light[1] = 600
    assert tone_mapping.peak_of(light) == pytest.approx(600)


def test_display_p3_is_brought_to_bt709(tmp_path: Path) -> None:
    # 0.8 of the red of BT.709, by the matrix of linear RGB of BT.709 to Display P3.
    linear = 0.8 * np.array([0.822462, 0.033194, 0.017083])
    levels = to_yuv(np.repeat(linear[None] ** (1 / 2.4), len(BARS), axis=0), 1, full=False, bits=8)
    path = write_bars(tmp_path / "a.mkv", planes(levels, np.uint8), "yuv420p", (1, 12, 1), full=False)
    assert stored(path)[0] == pytest.approx([255 * 0.8 ** (1 / 2.4), 0, 0], abs=8)


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
def test_ycgco_is_shown_as_it_was_coded(tmp_path: Path, full: bool) -> None:
    """By the formulas of ITU-T H.273: Y = (R + 2G + B) / 4, Cg = (2G - R - B) / 4, Co = (R - B) / 2."""
    red, green, blue = (BARS / 255).T
    scale, offset, chroma_scale = (255, 0, 255) if full else (219, 16, 224)
    luma, chroma = (red + 2 * green + blue) / 4, [(2 * green - red - blue) / 4, (red - blue) / 2]
    levels = np.stack([luma * scale + offset, *(each * chroma_scale + 128 for each in chroma)], axis=1)
    source = write_bars(tmp_path / "a.mkv", planes(levels, np.uint8), "yuv420p", (YCGCO, 1, 1), full=full)
    assert first_frame(source).colorspace == YCGCO
    assert stored(source) == pytest.approx(BARS, abs=2)
    clip, _ = encode(source, Encoding("h264", 1))
    assert first_frame(clip).colorspace == 1
    assert stored(clip) == pytest.approx(BARS, abs=4)


def test_hdr_is_not_copied_where_it_begins_in_the_middle(tmp_path: Path) -> None:
    """The header tells the colours of the first seconds only."""
    source, pieces, num_frames = tmp_path / "joined.ts", list[bytes](), 200
    for number, transfer in enumerate((1, PQ)):
        path = tmp_path / f"{number}.ts"
        with av.open(str(path), "w") as container:
            options = {"bf": "0", "g": "25", "preset": "ultrafast"}
            stream = cast(VideoStream, container.add_stream("libx264", rate=25, options=options))
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
            stream.codec_context.color_trc = transfer
            for index in range(num_frames):
                frame = av.VideoFrame.from_ndarray(np.full((96, 64), 500, np.uint16), format="yuv420p10le")
                frame.pts, frame.time_base = index + num_frames * number, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        pieces.append(path.read_bytes())
    source.write_bytes(b"".join(pieces))
    with open_video(str(source)) as container:
        pts = [decoded.pts for decoded in decode_frames(container)]
    span = Span(pts[num_frames], pts[-1] + 3600, Fraction(1, 90_000))
    job = CutJob(str(source), span, num_frames, True, "copy", Encoding("h264", 20))
    with pytest.raises(NotCopyable, match="the colours that the header tells"):
        cut_clip(job, str(tmp_path / "clip.mp4"))
