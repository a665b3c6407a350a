"""Writes a clip whose first and last frames are encoded, and whose packets between them are copied.

All of them are one stream with one header, which holds the parameter sets of the source and those of the encoder, under
ids of their own. Each part begins with a keyframe from which the decoder starts anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from stages.errors import CorruptStream, StageError
from stages.media.audio import SoundNotCopyable, add_encoded_audio, add_no_audio
from stages.media.clip_file import (
    AddAudio,
    ClipFile,
    CutJob,
    copied_audio,
    error_text,
    mux,
    open_output,
    raise_system_error,
    sound_source,
)
from stages.media.container import open_video, video_stream
from stages.media.container_crop import Crop
from stages.media.copied_clip import add_copied_track, check_copyable
from stages.media.copied_run import CopiedRun, find_copied_run
from stages.media.edge_encoder import Edge, EdgeEncoder, EncodedUnits, h264_sequences
from stages.media.nal_units import UnitLayout, UnreadableUnits, annex_b
from stages.media.packet_times import has_decoding_times_only
from stages.media.span_frames import SourceSpan, read_span
from stages.media.stream_copy import NotCopyable, checked, ending_with, rebase_packets
from stages.tasks import Span

JOINED_CODECS = frozenset({"h264", "hevc"})
_COSTS = {"h264": 1, "hevc": 5}
"""Time to encode a frame, compared with x264's."""
MAX_COST = 0.7
"""Of encoding the whole clip, for a clip to be joined by mode auto."""


@dataclass(frozen=True, slots=True)
class _Joined:
    """The video of a clip: its header, frames in the order of the stream, and how many of them were encoded."""

    header: bytes
    frames: list[EncodedUnits]
    num_encoded: int


def join_clip(job: CutJob, target: str) -> ClipFile:
    """Encode the frames at the edges of the span and copy the packets between them; sound as in an encoded clip.

    Raises:
        NotCopyable: the stream cannot be joined with an encoder's, the span holds no packets to copy, or, with mode
            auto, too few.
    """
    check_copyable(job)
    if not job.may_seek:
        raise NotCopyable("Times of a joined clip must be those of the file, and the source's begin again.")
    try:
        joined = _join_video(job)
    except (UnreadableUnits, StageError, CorruptStream) as error:
        raise NotCopyable(f"The edges of the span cannot be joined with its packets: {error}") from error
    failure: Exception | None = None
    for add_audio_stream in (copied_audio(job), add_encoded_audio, add_no_audio):
        try:
            return _write(joined, add_audio_stream, job, target)
        except (SoundNotCopyable, FFmpegError, ValueError) as error:  # PyAV finds some faults by ValueError
            raise_system_error(error)
            failure = error
    raise NotCopyable(f"The joined clip does not fit into MP4: {error_text(failure)}.") from failure


def _join_video(job: CutJob) -> _Joined:
    with open_video(job.uri) as source:
        stream = video_stream(source)
        layout = _layout_of(stream)
        if Crop.of(source, stream) is not None:
            raise NotCopyable("Copied frames must be shown whole, and the source's container crops them.")
        run = find_copied_run(source, stream, job.span, job.num_frames, layout)
        _check_cost(job, run, layout.codec)
        list(checked(iter(run.packets[:1]), stream, takes_hdr=False))
        before, behind = _edges_of(job, stream, layout, run)
        sets = _sets_of(before, behind)
        if before and layout.codec == "h264":
            _check_reordering(layout, sets, run)
        copied = [
            EncodedUnits(packet.pts or 0, packet.is_keyframe, units)
            for packet, units in zip(run.packets, run.units(layout), strict=True)
        ]
    frames = [*(before.frames if before else ()), *copied, *(behind.frames if behind else ())]
    return _Joined(annex_b([*layout.parameter_sets, *sets]), frames, run.num_before + run.num_behind)


def _layout_of(stream: VideoStream) -> UnitLayout:
    codec = stream.codec_context.codec.canonical_name
    if codec not in JOINED_CODECS or has_decoding_times_only(stream):
        raise NotCopyable(f"A joined clip must be {' or '.join(sorted(JOINED_CODECS))} with times, got {codec}.")
    return UnitLayout.of(codec, stream.codec_context.extradata or b"")


def _check_cost(job: CutJob, run: CopiedRun, codec: str) -> None:
    cost = (run.num_before + run.num_behind) * _COSTS[codec] / (job.num_frames * _COSTS.get(job.encoding.codec, 1))
    if job.mode == "auto" and cost > MAX_COST:
        raise NotCopyable(f"To join must cost at most {MAX_COST} of encoding, got {cost:.2f}.")


def _edges_of(job: CutJob, stream: VideoStream, layout: UnitLayout, run: CopiedRun) -> tuple[Edge | None, Edge | None]:
    """The encoded frames before and behind the run; None where it has all."""
    spans = (
        (Span(job.span.start_pts, run.start_pts, job.span.time_base), run.num_before),
        (Span(run.end_pts, job.span.end_pts, job.span.time_base), run.num_behind),
    )
    if not run.num_before and not run.num_behind:
        return None, None
    encoder = EdgeEncoder(stream, layout, job.encoding, job.span.time_base)
    before, behind = (
        read_span(SourceSpan(job.uri, span, count), encoder.encode) if count else None for span, count in spans
    )
    return before, behind


def _sets_of(before: Edge | None, behind: Edge | None) -> list[bytes]:
    """The parameter sets of the encoder, which are the same for both edges."""
    if before and behind and before.parameter_sets != behind.parameter_sets:
        raise NotCopyable("The encoder must have the same header for both edges, got two.")
    edge = before or behind
    return edge.parameter_sets if edge else []


def _check_reordering(layout: UnitLayout, sets: list[bytes], run: CopiedRun) -> None:
    """Check that a decoder which has begun with the encoder's frames holds as many back as the source's need.

    FFmpeg finds out by itself where a stream does not tell, and loses the frame by which it does.
    """
    (source,), (encoder,) = h264_sequences(layout.parameter_sets), h264_sequences(sets)
    delay = _delay([packet.pts or 0 for packet in run.packets])
    if source.num_reordered is None and delay > (encoder.num_reordered or 0):
        raise NotCopyable(f"A stream whose frames are reordered by {delay} must say so in its header.")


def _delay(times: list[int]) -> int:
    """By how many frames one is later in the stream than on the screen, at most."""
    rank = {time: index for index, time in enumerate(sorted(times))}
    return max(index - rank[time] for index, time in enumerate(times))


def _write(joined: _Joined, add_audio_stream: AddAudio, job: CutJob, target: str) -> ClipFile:
    method = "smart" if joined.num_encoded else "copy"
    with open_video(job.uri) as source, sound_source(job) as sound, open_output(target) as output:
        stream = video_stream(source)
        track = add_copied_track(output, stream)
        track.codec_context.extradata = joined.header
        packets = ending_with(job.span, _packets(joined.frames, job.span))
        video = rebase_packets(packets, track, job.span.start_pts)
        audio = add_audio_stream(sound, output)
        mux(output, method, sound.method, video, audio)
        return ClipFile(method, stream.codec_context.codec.canonical_name, job.num_frames, sound.method)


def _packets(frames: list[EncodedUnits], span: Span) -> Iterator[Packet]:
    """The frames as packets, with decoding times that rise over the joints: those of the screen, earlier by a delay."""
    times = [frame.pts for frame in frames]
    shown = sorted(times)
    ends = dict(zip(shown, [*shown[1:], span.end_pts], strict=True))
    delay = _delay(times)
    # An MP4 is as long as its decoding times and the last packet's length: so early the first must be decoded.
    earlier = span.end_pts - shown[-1 - delay] - (ends[times[-1]] - times[-1])
    before = [shown[0] - -(-earlier * back // delay) for back in range(delay, 0, -1)]
    for frame, dts in zip(frames, [*before, *shown], strict=False):
        packet = Packet(annex_b(frame.units))
        packet.pts, packet.dts, packet.duration = frame.pts, dts, ends[frame.pts] - frame.pts
        packet.time_base, packet.is_keyframe = span.time_base, frame.is_keyframe
        yield packet
