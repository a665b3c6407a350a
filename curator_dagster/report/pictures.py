"""Pictures of clips as stored under the root: previews of the dataset, else stills of the frame store.

They are neither decoded nor resized: the Dagster side has no codec.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from stages.pictures import stored_stills
from stages.storage import Storage
from stages.write import read_dataset_file

Row = dict[str, Any]

READ_THREADS = 8
_PREVIEW_DIVISOR = 20
"""A preview larger than the room divided by this is replaced by stills."""
_STILL_SHARES = (0.5, 0.15, 0.85)
"""Positions of the stills as shares of the clip, in order of preference."""


@dataclass(frozen=True)
class EmbeddedPicture:
    """One picture of a clip.

    Attributes:
        media_type: such as image/webp.
        data: base64, as embedded in the page.
        position: orders the stills of a clip in time.
    """

    media_type: str
    data: str
    position: int = 0


def pick_pictures(storage: Storage, clips: Sequence[Row], max_bytes: int) -> dict[str, list[EmbeddedPicture]]:
    """Pictures by clip id, in order of time, of at most `max_bytes` in all; empty where none is stored.

    Clips get their first picture in their order until one does not fit; those after it are missing. The room that is
    left goes to further stills.

    Raises:
        StorageError: the store does not answer.
    """
    picked: dict[str, list[EmbeddedPicture]] = {}
    spare: list[tuple[str, EmbeddedPicture]] = []
    left = max_bytes
    for clip, found in _read_each(storage, clips, max_bytes // _PREVIEW_DIVISOR):
        left -= sum(len(picture.data) for picture in found[:1])
        if left < 0:
            break
        picked[clip["id"]] = found[:1]
        spare += [(clip["id"], picture) for picture in found[1:]]
    for clip_id, picture in spare:
        left -= len(picture.data)
        if left < 0:
            break
        picked[clip_id].append(picture)
    return {clip_id: sorted(found, key=lambda picture: picture.position) for clip_id, found in picked.items()}


def _read_each(storage: Storage, clips: Iterable[Row], largest: int) -> Iterator[tuple[Row, list[EmbeddedPicture]]]:
    """Each clip with its pictures, read in parallel, in small batches."""
    waiting = iter(clips)
    with ThreadPoolExecutor(READ_THREADS, "pictures") as pool:
        while batch := list(islice(waiting, READ_THREADS)):
            yield from zip(batch, pool.map(lambda clip: _pictures(storage, clip, largest), batch), strict=True)


def _pictures(storage: Storage, clip: Row, largest: int) -> list[EmbeddedPicture]:
    if clip["preview_path"]:
        try:
            preview = _picture("image/webp", read_dataset_file(storage, clip["preview_path"], clip["partition"]))
        except FileNotFoundError:
            return _stills(storage, clip)
        if len(preview.data) <= largest:
            return [preview]
    return _stills(storage, clip)


def _stills(storage: Storage, clip: Row) -> list[EmbeddedPicture]:
    """Some stored frames of the clip, in order of preference; none where the frame store has none to give."""
    stills = stored_stills(storage, clip, _STILL_SHARES)
    return [_picture("image/jpeg", jpeg, position) for position, jpeg in stills.items()]


def _picture(media_type: str, data: bytes, position: int = 0) -> EmbeddedPicture:
    return EmbeddedPicture(media_type, base64.b64encode(data).decode("ascii"), position)
