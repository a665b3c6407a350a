"""What parts of a search for copies read, in whatever worker: signals, and a file of the hashes that all look among.

    {root}/index/copy_parts/{hash of run and clips}.landmarks    numbers of clips, hashes, their lists, a checksum

The file serves one run, and is removed at its end; two runs at once over the same clips have one each. `curator vacuum`
removes one that a killed run left.
"""

import hashlib
from pathlib import Path

import numpy as np

from stages.dedup.copy_candidates import StoredLandmarks
from stages.dedup.copy_landmarks import Landmarks
from stages.dedup.copy_lists import HashLists, read_centres
from stages.dedup.copy_views import HASH_BYTES, STORED_WINDOWS
from stages.errors import StageError
from stages.storage import Storage

FOLDER = "index/copy_parts"
_CHECKSUM_BYTES = 32
_PICTURE_BYTES = 8 + HASH_BYTES * len(STORED_WINDOWS)
_LISTS_BYTES = 4 * len(STORED_WINDOWS)


class PictureSource:
    """What searches for copies read.

    Args:
        storage: of the root.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._path = ""
        self._landmarks: StoredLandmarks | None = None

    def landmarks(self, path: str, centres: str = "") -> StoredLandmarks:
        """The hashes of a file, with their index; those of the last file stay in memory.

        Args:
            path: of the file, below the root.
            centres: path of the centres of its lists; empty where it has none.

        Raises:
            StageError: a file is gone or damaged.
        """
        if self._landmarks is None or self._path != path:
            self._landmarks = _read(self.storage, path, centres)
            self._path = path
        return self._landmarks


def remove_landmarks(storage: Storage, stored: StoredLandmarks, run_token: str) -> None:
    """Remove what `save_landmarks` wrote, where it wrote."""
    if storage.list(FOLDER):
        storage.delete(landmarks_path(stored, run_token))


def landmarks_path(stored: StoredLandmarks, run_token: str) -> str:
    """Path of a run's file of these hashes, below the root."""
    hasher = hashlib.sha256(run_token.encode())
    for part in _content(stored):
        hasher.update(part.data)
    return f"{FOLDER}/{hasher.hexdigest()[:32]}.landmarks"


def save_landmarks(storage: Storage, stored: StoredLandmarks, run_token: str) -> str:
    """Write down hashes for other workers of a run; returns the path, below the root."""
    path = landmarks_path(stored, run_token)
    data = b"".join(part.tobytes() for part in _content(stored))
    storage.write_bytes(path, data + hashlib.sha256(data).digest())
    return path


def _content(stored: StoredLandmarks) -> list[np.ndarray]:
    parts = [stored.landmarks.clip.astype("<i8"), np.ascontiguousarray(stored.landmarks.hashes)]
    return parts if stored.lists is None else [*parts, np.ascontiguousarray(stored.lists.numbers, "<i4")]


def _read(storage: Storage, path: str, centres: str) -> StoredLandmarks:
    try:
        data = _bytes_of(storage, path)
    except FileNotFoundError:
        data = np.empty(0, np.uint8)
    content, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    picture_bytes = _PICTURE_BYTES + (_LISTS_BYTES if centres else 0)
    if hashlib.sha256(content.data).digest() != checksum.tobytes() or len(content) % picture_bytes:
        raise StageError(f"The hashes of copies in {storage.location(path)} are gone or damaged. Run dedup again.")
    count = len(content) // picture_bytes
    clips, hashes, numbers = np.split(content, [8 * count, _PICTURE_BYTES * count])
    landmarks = Landmarks(clips.view("<i8").astype(np.int64), hashes.reshape(count, len(STORED_WINDOWS), HASH_BYTES))
    if not centres:
        return StoredLandmarks(landmarks)
    lists = numbers.view("<i4").astype(np.int32).reshape(count, len(STORED_WINDOWS))
    return StoredLandmarks(landmarks, HashLists(centres, read_centres(storage, centres), lists))


def _bytes_of(storage: Storage, path: str) -> np.ndarray:
    """Of a local file, what its readers share; it stays readable where it is removed meanwhile."""
    if storage.is_local:
        return np.memmap(Path(storage.location(path)), np.uint8, "r")
    return np.frombuffer(storage.read_bytes(path), np.uint8)
