"""Writes the files of a clip: MP4, preview and JSON. Imports FFmpeg, so only workers import this module."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stages import heartbeat
from stages.errors import Reason, SourceChanged, SourceError, StorageUnavailable
from stages.media import (
    WHOLE,
    Box,
    ClipFile,
    CutJob,
    Encoding,
    FrameLoader,
    KeptPart,
    NotCopyable,
    check_encoder,
    cut_clip,
    detect_active_area,
    encode_preview,
    read_clip_facts,
    read_clip_file,
    select_preview_pts,
    to_deinterlace,
)
from stages.params import WriteParams
from stages.storage import Storage, stat_source
from stages.tasks import Clip, Frames, Rejected, Row, Span, Video, exact_fraction
from stages.write.file_columns import KNOWN_MEDIA, MEDIA_COLUMNS, with_source_facts
from stages.write.paths import dataset_location, former_location, media_path, metadata_path, preview_path

MIN_INSIDE_BARS = 0.1
"""Share of width and of height that must be left between bars; a line on black is no picture between bars."""
COUNTERS = {"copy": "copied_clips", "smart": "joined_clips", "encode": "encoded_clips"}
"""By how clips were cut."""


class ClipWriter:
    """Writes the files of clips. A file is written whole or not at all; a file that exists is not written again.

    Raises:
        ParamsError: the encoder does not work on this machine.
    """

    def __init__(self, root: str, params: WriteParams, device: str = "cpu") -> None:
        self._storage = Storage(root)
        self._params = params
        self._encoding = Encoding(
            params.encoder,
            params.quality,
            keeps_hdr=params.hdr == "keep",
            target=(params.width_px, params.height_px),
            fps=exact_fraction(params.fps) if params.fps else None,
            preset=params.preset,
        )
        self._is_of_one_kind = params.uniform or params.playable == "browser"
        self._loader = FrameLoader(root)
        if params.mode != "copy":
            check_encoder(self._encoding, device)

    def write(self, video: Video) -> Row | Rejected:
        """The columns of the dataset's row that describe the clip's files, or `Rejected`.

        Raises:
            SourceError: the source cannot be opened, or breaks inside the span.
            StageError: the clip cannot be encoded.
        """
        try:
            columns = self._write_media(video)
            columns["preview_path"] = self._write_preview(video) if self._params.preview_fps else None
        except NotCopyable as error:
            return Rejected(Reason.SPAN_NOT_COPYABLE, str(error))
        except SourceChanged as error:
            return Rejected(Reason.SUPERSEDED, str(error), is_transient=True)
        columns = {**with_source_facts(video.clip.columns), **columns}
        columns.pop(KNOWN_MEDIA, None)
        text = json.dumps(columns, ensure_ascii=False, indent=1)
        columns["metadata_path"] = metadata_path(dict(video.clip.columns), text)
        if self._find(columns["metadata_path"]) is None:
            self._storage.write_bytes(former_location(columns["metadata_path"]), text.encode())
        return columns

    def close(self) -> None:
        """Release the frame store."""
        self._loader.close()

    def _write_media(self, video: Video) -> Row:
        path = media_path(dict(video.clip.columns), self._params)
        location = self._find(path)
        facts = self._facts_of(location, video.clip.columns.get(KNOWN_MEDIA))
        if location is None or facts is None:  # a damaged file is replaced where it is
            facts = self._cut(video, location or former_location(path))
            heartbeat.count(COUNTERS[facts["cut"]])
        else:
            heartbeat.count("reused_files")
        return {"path": path, **{name: facts[name] for name in MEDIA_COLUMNS}}

    def _find(self, path: str) -> str | None:
        """Where a file of an earlier run lies below the root; None where there is none."""
        found = (place for place in (dataset_location(path), former_location(path)) if self._storage.exists(place))
        return next(found, None)

    def _facts_of(self, location: str | None, known: Row | None) -> Row | None:
        """Facts of a file of an earlier run; None where it does not exist or is damaged.

        Its header is read in any case. Where an earlier row tells of a file of this size, the rest is taken from there.

        Raises:
            StorageUnavailable: the file exists, and cannot be read now.
        """
        if location is None:
            return None
        uri = self._storage.location(location)
        try:
            cut = read_clip_file(uri)
        except StorageUnavailable:
            raise
        except SourceError:
            return None
        if known is not None and stat_source(uri).size_bytes == known["bytes"]:
            return known
        with tempfile.NamedTemporaryFile(prefix="curator-", suffix=".mp4") as file:
            file.write(self._storage.read_bytes(location))
            file.flush()
            return _media_columns(file.name, cut)

    def _cut(self, video: Video, location: str) -> Row:
        _check_source_tag(video)
        with tempfile.TemporaryDirectory(prefix="curator-") as folder:
            target = str(Path(folder) / "clip.mp4")
            job = self._cut_job(video.uri, video.clip)
            kept = self._kept(video)
            job = replace(job, encoding=replace(job.encoding, kept=kept))
            cut = cut_clip(job, target)
            facts = _media_columns(target, cut)
            self._storage.put_file(location, target)
        return facts

    def _cut_job(self, uri: str, clip: Clip) -> CutJob:
        columns = clip.columns
        fields = to_deinterlace(columns["interlaced_share"], columns["field_order"])
        return CutJob(
            uri=uri,
            span=clip.span,
            num_frames=clip.num_frames,
            at_keyframes=bool(columns["start_is_keyframe"] and columns["end_is_keyframe"]),
            mode=self._params.mode,
            encoding=replace(self._encoding, peak_nits=columns["hdr_peak_nits"]),
            copied_codecs=frozenset([self._encoding.codec]) if self._is_of_one_kind else None,
            copies_aac_only=self._is_of_one_kind,
            is_damaged=bool(columns["damaged_share"]),
            deinterlace=fields if self._params.deinterlace == "auto" else None,
            may_seek=not columns["num_restarts"],
        )

    def _kept(self, video: Video) -> KeptPart | None:
        """The part of the picture that is written; None for all."""
        if self._params.crop == "bars":
            return self._inside_bars(video)
        return kept_area(video.clip.columns, self._params) if self._params.crop == "clean" else None

    def _inside_bars(self, video: Video) -> KeptPart | None:
        """The part inside the bars of the clip's stored pictures; None where they have none.

        A line more is cut off beside a bar, since the stored pictures show its edge to a line of theirs.
        """
        luma = self._loader.load(video).luma()
        area, (height, width) = detect_active_area(luma), luma.shape[1:]
        cut = (area.left, area.top, width - area.right, height - area.bottom)
        sides = zip(cut, (width, height, width, height), strict=True)
        kept = KeptPart(*((lines + 1) / side if lines else 0.0 for lines, side in sides))
        inside = min(1 - kept.left - kept.right, 1 - kept.top - kept.bottom)
        return kept if any(cut) and inside >= MIN_INSIDE_BARS else None

    def _write_preview(self, video: Video) -> str:
        path = preview_path(dict(video.clip.columns), self._params)
        if self._find(path) is None:
            height_px = self._params.preview_height_px
            data = encode_preview(self._preview_frames(video), video.clip.span, height_px=height_px)
            self._storage.write_bytes(former_location(path), data)
        return path

    def _preview_frames(self, video: Video) -> Iterator[Frames]:
        """The frames of the preview, one at a time; no other stored frame is decoded."""
        clip = video.clip
        for pts in select_preview_pts(self._loader.times(video), clip.span, fps=self._params.preview_fps):
            span = Span(pts, pts + 1, clip.span.time_base)
            yield self._loader.load(replace(video, clips=(replace(clip, span=span),)))


def kept_area(columns: Mapping[str, Any], params: WriteParams) -> KeptPart | None:
    """The largest clean rectangle, of a row with ``clean_area``; None where it is all, or less than may stay."""
    clean = Box(*columns["clean_area"]) if columns["clean_area"] else None
    if clean is None or clean == WHOLE or clean.area < params.crop_min:
        return None
    return KeptPart(clean.left, clean.top, 1 - clean.right, 1 - clean.bottom)


def _media_columns(path: str, cut: ClipFile) -> Row:
    """What a row tells of the clip's file, which lies at a local path."""
    facts = read_clip_facts(path)
    return {**facts, "clip_codec": facts["codec"], "cut": cut.method, "sound": cut.sound, "crop": cut.crop}


def _check_source_tag(video: Video) -> None:
    expected, found = video.clip.columns["etag"], stat_source(video.uri).etag
    if found != expected:
        raise SourceChanged(
            video.uri,
            f"The source's tag must be {expected}, as when it was split, got {found}: {video.uri}. "
            "Run read and split again.",
        )
