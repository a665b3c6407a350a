"""Cutting a clip, its preview and its JSON into the dataset. Loads FFmpeg; imported in workers only."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from stages import heartbeat
from stages.errors import Reason, SourceChanged, SourceError, StorageUnavailable
from stages.media import (
    ClipFile,
    CutJob,
    Encoding,
    FrameLoader,
    NotCopyable,
    check_encoder,
    cut_clip,
    encode_preview,
    read_clip_file,
    select_preview_pts,
)
from stages.params import WriteParams
from stages.storage import Storage, stat_source
from stages.tasks import Clip, Frames, Rejected, Row, Span, Video
from stages.write.paths import media_path, metadata_path, preview_path


class ClipWriter:
    """Writes the files of one clip after another; each is whole or absent, and one that is there is kept.

    Raises:
        ParamsError: the encoder does not work on this machine.
    """

    def __init__(self, root: str, params: WriteParams) -> None:
        self._storage = Storage(root)
        self._params = params
        self._encoding = Encoding(params.encoder, params.quality)
        self._loader = FrameLoader(root)
        if params.mode != "copy":
            check_encoder(self._encoding)

    def write(self, video: Video) -> Row | Rejected:
        """What the dataset's row says of the clip's files, or why there is none.

        Raises:
            SourceError: the source cannot be opened, or breaks inside the span.
            StageError: the clip cannot be encoded.
        """
        try:
            made = self._media(video)
            made["preview_path"] = self._preview(video) if self._params.preview_fps else None
        except NotCopyable as error:
            return Rejected(Reason.SPAN_NOT_COPYABLE, str(error))
        except SourceChanged as error:
            return Rejected(Reason.SUPERSEDED, str(error), is_transient=True)
        made["duration_s"] = video.clip.span.duration_s
        text = json.dumps({**video.clip.columns, **made}, ensure_ascii=False, indent=1)
        made["metadata_path"] = metadata_path(dict(video.clip.columns), text)
        self._storage.write_bytes(made["metadata_path"], text.encode())
        return made

    def close(self) -> None:
        """Let go of the frame store."""
        self._loader.close()

    def _media(self, video: Video) -> Row:
        path = media_path(dict(video.clip.columns), self._params)
        cut = self._known_cut(path)
        if cut is None:
            cut = self._cut(video, path)
            heartbeat.count("copied_clips" if cut.method == "copy" else "encoded_clips")
        else:
            heartbeat.count("reused_files")
        return {
            "path": path,
            "bytes": stat_source(self._storage.location(path)).size_bytes,
            "clip_codec": cut.codec,
            "cut": cut.method,
            "num_frames": cut.num_frames,
        }

    def _known_cut(self, path: str) -> ClipFile | None:
        """What a file of an earlier run holds; None where there is none, or it is damaged.

        Raises:
            StorageUnavailable: it is there, and cannot be read now.
        """
        if not self._storage.exists(path):
            return None
        try:
            return read_clip_file(self._storage.location(path))
        except StorageUnavailable:
            raise
        except SourceError:
            return None

    def _cut(self, video: Video, path: str) -> ClipFile:
        _check_tag(video)
        with tempfile.TemporaryDirectory(prefix="curator-") as folder:
            target = str(Path(folder) / "clip.mp4")
            cut = cut_clip(self._job(video.uri, video.clip), target)
            self._storage.put_file(path, target)
        return cut

    def _job(self, uri: str, clip: Clip) -> CutJob:
        return CutJob(
            uri=uri,
            span=clip.span,
            num_frames=clip.num_frames,
            at_keyframes=bool(clip.columns["start_is_keyframe"] and clip.columns["end_is_keyframe"]),
            mode=self._params.mode,
            encoding=self._encoding,
        )

    def _preview(self, video: Video) -> str:
        path = preview_path(dict(video.clip.columns), self._params)
        if not self._storage.exists(path):
            height_px = self._params.preview_height_px
            data = encode_preview(self._pictures(video), video.clip.span, height_px=height_px)
            self._storage.write_bytes(path, data)
        return path

    def _pictures(self, video: Video) -> Iterator[Frames]:
        """The pictures that the preview shows, one at a time; the others are not decoded."""
        clip = video.clip
        for pts in select_preview_pts(self._loader.times(video), clip.span, fps=self._params.preview_fps):
            span = Span(pts, pts + 1, clip.span.time_base)
            yield self._loader.load(replace(video, clips=(replace(clip, span=span),)))


def _check_tag(video: Video) -> None:
    wanted, now = video.clip.columns["etag"], stat_source(video.uri).etag
    if now != wanted:
        raise SourceChanged(
            video.uri,
            f"The source's tag must be {wanted}, as when it was split, got {now}: {video.uri}. "
            "Run read and split again.",
        )
