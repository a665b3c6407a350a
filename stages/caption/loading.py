"""The stage that divides a clip into windows and loads the pictures that each shows."""

from dataclasses import replace
from itertools import chain

from stages import media
from stages.caption.windows import MIN_FRAMES, ClipTimeline, num_pictures, sample_window, windows_of
from stages.errors import CorruptStream, Reason
from stages.failures import failure_of
from stages.media import LoadFramesStage, with_clip
from stages.params import CaptionParams
from stages.stage import Fields
from stages.tasks import Clip, Failed, Frames, Rejected, Video, VideoTask, Window

FROM_STORE, FROM_SOURCE = "store", "source"
"""Values of the column ``frames_from``."""


class LoadWindowsStage(LoadFramesStage):
    """Sets ``clip.windows``, and ``clip.frames`` with the pictures that any of them shows.

    Windows that are there already keep their captions.

    They come from the frame store. Where `caption.frames_fps` asks for more of them than it has, or
    `caption.frames_max_px` for larger ones, and the source has them, the clip is decoded.

    Args:
        root: root that holds the frame stores.
        params: of the phase.
    """

    def __init__(self, root: str, params: CaptionParams) -> None:
        super().__init__(root, batch_size=params.batch_size)
        self.params = params

    def outputs(self) -> Fields:
        """Adds the clip's windows and frames."""
        return [], ["clips.frames", "clips.windows"]

    def process(  # pyrefly: ignore[bad-override] - as of every stage; that of frames never rejects
        self, task: VideoTask
    ) -> VideoTask | Rejected | Failed:
        """The task with its clip's windows and frames; failed alone where its span cannot be decoded.

        Raises:
            SourceError, StageError: as `LoadFramesStage.process`.
        """
        clip = task.data.clip
        times = self._loader.clip_times(task.data)
        windows = windows_of(clip, ClipTimeline(clip, times.pts, times.frame), self.params)
        if not windows:
            return no_windows(clip.num_frames)
        index = (times.frame - clip.start_frame).tolist()
        shown = [sample_window(index, each.start_frame, each.end_frame, self._most(each)) for each in windows]
        is_larger, is_denser = self._wants_larger(clip), self._wants_more(clip, windows, shown)
        if is_larger or is_denser:
            stored = [[int(times.pts[position]) for position in each] for each in shown]
            wanted = [self._times(clip, each) for each in windows] if is_denser else stored
            try:
                frames, shown = self._decoded(task.data, wanted)
            except CorruptStream as error:  # the video's other clips may be whole
                return failure_of(error)
        else:
            frames, shown = self._stored(task.data, shown)
        columns = {**clip.columns, "frames_from": FROM_SOURCE if is_larger or is_denser else FROM_STORE}
        answers = {each.index: each.captions for each in clip.windows}
        pictured = [
            replace(each, pictures=tuple(places), captions=answers.get(each.index, ()))
            for each, places in zip(windows, shown, strict=True)
        ]
        return with_clip(task, replace(clip, frames=frames, windows=tuple(pictured), columns=columns))

    def _most(self, window: Window) -> int:
        return num_pictures(window, self.params)

    def _wants_larger(self, clip: Clip) -> bool:
        wanted, stored = self.params.frames_max_px or 0, clip.columns["frames_max_px"]
        return wanted > stored and max(clip.columns.get("width") or 0, clip.columns.get("height") or 0) > stored

    def _wants_more(self, clip: Clip, windows: list[Window], shown: list[list[int]]) -> bool:
        if (self.params.frames_fps or 0) <= clip.columns["frames_fps"]:
            return False
        return any(len(places) < self._possible(each) for each, places in zip(windows, shown, strict=True))

    def _possible(self, window: Window) -> int:
        """Pictures that the window shows where all frames of the source are at hand."""
        return min(self._most(window), window.end_frame - window.start_frame)

    def _times(self, clip: Clip, window: Window) -> list[int]:
        """PTS of the middle of each of equal parts of a window, one a picture."""
        number = self._possible(window)
        step = (window.end_s - window.start_s) / number
        seconds = [window.start_s + (part + 0.5) * step for part in range(number)]
        return [clip.span.start_pts + int(each / clip.span.time_base) for each in seconds]

    def _decoded(self, video: Video, wanted: list[list[int]]) -> tuple[Frames, list[list[int]]]:
        max_px = self.params.frames_max_px or video.clip.columns["frames_max_px"]
        frames = media.decode_pictures(video, list(chain.from_iterable(wanted)), max_px=max_px)
        return frames, [sorted(set(media.nearest_positions(frames.pts, each))) for each in wanted]

    def _stored(self, video: Video, shown: list[list[int]]) -> tuple[Frames, list[list[int]]]:
        needed = sorted(set(chain.from_iterable(shown)))
        frames = self._loader.load(video, needed)
        if self.params.frames_max_px is not None:
            frames = media.scaled_down(frames, self.params.frames_max_px)
        place_of = {position: place for place, position in enumerate(needed)}
        return frames, [[place_of[position] for position in each] for each in shown]


def no_windows(num_frames: int) -> Rejected:
    """The outcome of a clip that is too short for a window."""
    return Rejected(Reason.NO_WINDOWS, f"A window must have at least {MIN_FRAMES} frames, got {num_frames}.")
