"""What parts of a search for copies read, in whatever worker: signals, and a file of the hashes that all look among.

    {root}/index/copy_parts/{hash of the clips}.landmarks    numbers of clips, hashes, and a checksum of both

The file serves one run, and is removed at its end. One that a killed run left is the same for the next, and `curator
vacuum` removes it.
"""

import hashlib
from pathlib import Path

import numpy as np

from stages.dedup.copy_candidates import Landmarks, StoredLandmarks
from stages.dedup.copy_views import HASH_BYTES, STORED_WINDOWS
from stages.errors import StageError
from stages.storage import Storage

FOLDER = "index/copy_parts"
_CHECKSUM_BYTES = 32
_PICTURE_BYTES = 8 + HASH_BYTES * len(STORED_WINDOWS)


class PictureSource:
    """What searches for copies read.

    Args:
        storage: of the root.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._path = ""
        self._landmarks: StoredLandmarks | None = None

    def landmarks(self, path: str) -> StoredLandmarks:
        """The hashes of a file, with their index; those of the last file stay in memory.

        Raises:
            StageError: the file is gone or damaged.
        """
        if self._landmarks is None or self._path != path:
            self._landmarks = StoredLandmarks(_read(self.storage, path))
            self._path = path
        return self._landmarks


def remove_landmarks(storage: Storage, landmarks: Landmarks) -> None:
    """Remove what `save_landmarks` wrote, where it wrote."""
    if storage.list(FOLDER):
        storage.delete(landmarks_path(landmarks))


def landmarks_path(landmarks: Landmarks) -> str:
    """Path of the file of these hashes, below the root."""
    hasher = hashlib.sha256(np.ascontiguousarray(landmarks.clip).data)
    hasher.update(np.ascontiguousarray(landmarks.hashes).data)
    return f"{FOLDER}/{hasher.hexdigest()[:32]}.landmarks"


def save_landmarks(storage: Storage, landmarks: Landmarks) -> str:
    """Write down hashes for other workers; returns the path, below the root."""
    path = landmarks_path(landmarks)
    data = landmarks.clip.astype("<i8").tobytes() + np.ascontiguousarray(landmarks.hashes).tobytes()
    storage.write_bytes(path, data + hashlib.sha256(data).digest())
    return path


def _read(storage: Storage, path: str) -> Landmarks:
    try:
        data = _bytes_of(storage, path)
    except FileNotFoundError:
        data = np.empty(0, np.uint8)
    content, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if hashlib.sha256(content.data).digest() != checksum.tobytes() or len(content) % _PICTURE_BYTES:
        raise StageError(f"The hashes of copies in {storage.location(path)} are gone or damaged. Run dedup again.")
    count = len(content) // _PICTURE_BYTES
    hashes = content[8 * count :].reshape(count, len(STORED_WINDOWS), HASH_BYTES)
    return Landmarks(content[: 8 * count].view("<i8").astype(np.int64), hashes)


def _bytes_of(storage: Storage, path: str) -> np.ndarray:
    """Of a local file, what its readers share; it stays readable where it is removed meanwhile."""
    if storage.is_local:
        return np.memmap(Path(storage.location(path)), np.uint8, "r")
    return np.frombuffer(storage.read_bytes(path), np.uint8)
