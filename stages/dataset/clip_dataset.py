"""The clips of a version as a map-style dataset of torch."""

import json
import operator
import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Literal, SupportsIndex

import pyarrow as pa
import torch
from torch.utils.data import Dataset

from stages.dataset.clip_frames import ClipFrames, FrameCountMismatch
from stages.dataset.forked_workers import keep_garbage_out_of_forks
from stages.dataset.pyav_decoder import decode_with_pyav
from stages.dataset.sampling import FrameSampling
from stages.dataset.source_split import Side, select_side
from stages.dataset.stored_clips import StoredClips, find_clips
from stages.dataset.torchcodec_decoder import LOAD_ERRORS, decode_with_torchcodec, load_torchcodec
from stages.errors import ManifestError, ParamsError, SourceError
from stages.tasks import Row, Size

Decoder = Literal["pyav", "torchcodec"]

_DECODERS: dict[Decoder, Callable[..., ClipFrames]] = {
    "pyav": decode_with_pyav,
    "torchcodec": decode_with_torchcodec,
}


class ClipDataset(Dataset[dict[str, Any]]):
    """Kept clips with decoded frames and captions; `open_dataset` makes it.

    It holds the rows and no open file or connection, so it can be pickled, forked and used by several workers. Files
    are read when an item is asked for.

    Args:
        clips: rows, and where their files are.
        sampling: the frames of an item.
        decoder: "pyav" or "torchcodec".

    Attributes:
        decoder: what decodes them.
    """

    def __init__(self, clips: StoredClips, sampling: FrameSampling, decoder: Decoder) -> None:
        self._clips = clips
        self._sampling = sampling
        self.decoder: Decoder = decoder
        keep_garbage_out_of_forks()

    @property
    def rows(self) -> pa.Table:
        """A row a clip, in the order of the items, with the columns of the asset ``dataset``."""
        return self._clips.rows

    @property
    def version(self) -> int | None:
        """Number of the version of the root; None for a copied folder ``dataset/``, and for a root that has none."""
        return self._clips.version

    @property
    def sources(self) -> list[str]:
        """Uris of the videos that the clips were cut from, sorted."""
        return sorted(self.rows["uri"].unique().to_pylist())

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        version = "" if self.version is None else f", version {self.version}"
        return f"ClipDataset({self._clips.location!r}{version}, {len(self)} clips, {len(self.sources)} sources)"

    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
        """One clip: its frames and what belongs to them.

        Returns:
            ``frames``: uint8 tensor ``[T, C, H, W]``, RGB, upright.
            ``times_s``: float64 tensor ``[T]``, when each frame begins to be shown, in seconds of the clip.
            ``caption``: its captions in one text; empty where it has none.
            ``clip_id``, ``uri``: the clip and its source.

        Raises:
            IndexError: there is no such clip.
            ManifestError: the clip's file is missing or damaged.
            StorageError: the store does not answer.
        """
        row = self.row(index)
        found = self._decode(row)
        return {
            "frames": torch.from_numpy(found.images),
            "times_s": torch.from_numpy(found.times_s),
            "caption": row["caption"] or "",
            "clip_id": row["clip_id"],
            "uri": row["uri"],
        }

    def row(self, index: SupportsIndex) -> Row:
        """All columns of one clip.

        Raises:
            IndexError: there is no such clip.
        """
        number = operator.index(index)
        position = number + len(self) if number < 0 else number
        if not 0 <= position < len(self):
            raise IndexError(f"The index of a clip must be below {len(self)}, got {number}.")
        (row,) = self.rows.slice(position, 1).to_pylist()
        return row

    def windows(self, index: SupportsIndex) -> list[Row]:
        """The captions of one clip by window: ``start_frame``, ``end_frame`` (exclusive, in the clip), ``caption``, ...

        Raises:
            IndexError: there is no such clip.
            ManifestError: the clip's JSON is missing or damaged.
            StorageError: the store does not answer.
        """
        row = self.row(index)
        data = self._clips.read_file(row, "metadata_path")
        try:
            return json.loads(data)["windows"]
        except (ValueError, KeyError, TypeError) as error:
            raise ManifestError(self._damaged_message(row, "metadata_path", "JSON of its clip", str(error))) from error

    def _decode(self, row: Row) -> ClipFrames:
        duration = (row["end_pts"] - row["start_pts"]) * Fraction(row["time_base"])
        data = self._clips.read_file(row, "path")
        try:
            return _DECODERS[self.decoder](
                data,
                self._clips.location_of(row, "path"),
                self._sampling.times(duration),
                size=self._sampling.size,
                num_frames=row["num_frames"],
            )
        except (SourceError, FrameCountMismatch) as error:
            wanted = f"video of {row['num_frames']} frames"
            raise ManifestError(self._damaged_message(row, "path", wanted, str(error))) from error

    def _damaged_message(self, row: Row, column: str, wanted: str, found: str) -> str:
        repair = "Delete it and run `curator run`: it is made again."
        return f"{self._clips.location_of(row, column)} must be a whole {wanted}, got damage: {found} {repair}"


def open_dataset(
    root: str | os.PathLike[str],
    *,
    version: int | str | None = None,
    split: Side | None = None,
    validation_share: float = 0.1,
    seed: int = 0,
    num_frames: int | None = None,
    fps: float | None = None,
    size: int | tuple[int, int] | None = None,
    decoder: Decoder | None = None,
) -> ClipDataset:
    """Open the clips of a root for training.

    Every frame of a clip is read unless `num_frames` or `fps` is given. With `num_frames` and `size`, all clips have
    frames of one shape, and a `DataLoader` stacks them to batches.

    Args:
        root: folder or fsspec URL; or a copy of its folder ``dataset/``, which has the newest version only.
        version: number or tag of a version of the root; the newest where none is given.
        split: "train" or "validation", which share no source; all clips where none is given.
        validation_share: of all sources, the share that validation has where there are many. Each is assigned by a hash
            of its uri, so it stays where it is when others are added.
        seed: another one divides the sources otherwise.
        num_frames: frames of a clip: it is divided into so many equal parts, and the frame shown in the middle of each
            is read; twice where two parts have the same.
        fps: frames a second: those that are shown at 0, 1/fps, 2/fps, ... seconds.
        size: height and width of the frames, or one number for both: they are scaled in their proportions until they
            cover it, and cut around the middle. As displayed where none is given.
        decoder: "pyav" or "torchcodec"; torchcodec where it loads, else PyAV, where none is given.

    Raises:
        ParamsError: an argument is out of bounds, or the decoder does not load.
        ManifestError: there is no dataset or no such version, or a file of a table is missing or damaged.
        StorageError: the store does not answer.
    """
    sampling = FrameSampling(num_frames, fps, _frame_size(size))
    chosen = _choose_decoder(decoder)
    clips = find_clips(root, version)
    if split is not None:
        clips = clips.with_rows(select_side(clips.rows, split, share=validation_share, seed=seed))
    return ClipDataset(clips, sampling, chosen)


def _frame_size(size: int | tuple[int, int] | None) -> Size | None:
    if size is None:
        return None
    sides = size if isinstance(size, Sequence) else (size, size)
    if len(sides) != 2 or not all(isinstance(side, SupportsIndex) for side in sides):
        raise ParamsError(f"size must be a whole number of pixels, or (height, width), got {size!r}.")
    height, width = map(operator.index, sides)
    return Size(width, height)


def _choose_decoder(name: Decoder | None) -> Decoder:
    if name is not None and name not in _DECODERS:
        raise ParamsError(f"decoder must be one of {list(_DECODERS)}, got {name!r}.")
    if name == "pyav":
        return name
    try:
        load_torchcodec()
    except LOAD_ERRORS as error:
        if name is None:
            return "pyav"
        first_line = str(error).strip().split("\n")[0]
        raise ParamsError(
            f"decoder='torchcodec' requires torchcodec and the FFmpeg that it finds, got: {first_line} "
            "Install both, or take decoder='pyav'."
        ) from error
    return "torchcodec"
