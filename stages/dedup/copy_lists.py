"""The lists in which hashes of clips stand, kept so that each hash is compared with all centres once.

    {root}/index/copies/centres/{pictures}-{hash}.parquet     of each of `STORED_WINDOWS`, its centres
    {root}/index/copies/lists-{hash of centres}/...           a row a clip: numbers of the lists of its pictures

Centres are chosen of the hashes of as many pictures as their file says, and chosen anew once there are more than
`GROWTH` times as many. Centres that are lost are chosen again, and may then differ: another index, which finds other
pairs of those that are little alike. Decisions that were made stand.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages.dedup.arrays import Positions
from stages.dedup.copy_columns import COPIES_FOLDER
from stages.dedup.copy_hash_index import HASH_BYTES, Centres, Hashes, centres_of
from stages.dedup.copy_landmarks import Landmarks
from stages.dedup.copy_views import STORED_WINDOWS
from stages.dedup.keyed_files import KeyedFiles
from stages.errors import StageError
from stages.storage import Storage

CENTRES_FOLDER = f"{COPIES_FOLDER}/centres"
GROWTH = 4
"""Pictures for one that centres were chosen for, up to which they serve; and as many times fewer."""
VERSION = "1"
_RECORD_BYTES = 4 * len(STORED_WINDOWS)


@dataclass(frozen=True)
class HashLists:
    """The lists of hashes through each of `STORED_WINDOWS`.

    Attributes:
        path: of the file of centres, below the root.
        centres: of each window.
        numbers: int32 ``[N, V]``, the list of each picture's hash.
    """

    path: str
    centres: Sequence[Centres]
    numbers: NDArray[np.int32]


def lists_of(storage: Storage, keys: pa.Array, numbers: Positions, landmarks: Landmarks) -> HashLists:
    """The lists of the hashes of clips; what is not known of them yet is found and written down.

    Args:
        storage: of the root.
        keys: of the clips, see `stages.dedup.copy_index.keys_of`.
        numbers: of the clips; rises.
        landmarks: of `STORED_WINDOWS`, at least one picture, by number of its clip.
    """
    path = _chosen(storage, landmarks.hashes)
    centres = read_centres(storage, path)
    files = KeyedFiles(storage, _folder(path), keys, record_bytes=_RECORD_BYTES, version=VERSION)
    if len(missing := files.missing):
        counts = np.diff(np.searchsorted(landmarks.clip, [*numbers, numbers[-1] + 1]))[missing]
        wanted = landmarks.hashes[np.isin(landmarks.clip, numbers[missing])]
        found = np.stack([each.nearest(wanted[:, window]) for window, each in enumerate(centres)], axis=1)
        records = [part.astype("<i4").tobytes() for part in np.split(found, np.cumsum(counts)[:-1])]
        files.add(pa.table({"key": keys.take(pa.array(missing)), "records": pa.array(records, pa.binary())}))
    return HashLists(path, centres, files.records().data.view("<i4").astype(np.int32))


def read_centres(storage: Storage, path: str) -> list[Centres]:
    """The centres of each window.

    Raises:
        StageError: the file is gone or damaged.
    """
    found = _read(storage, path)
    if found is None:
        raise StageError(f"Centres of copies in {storage.location(path)} are gone or damaged. Run dedup again.")
    return [Centres(each) for each in found]


def _chosen(storage: Storage, hashes: NDArray[np.uint8]) -> str:
    """Path of the centres for so many pictures; chosen of them where there are none."""
    stored = [info.path for info in storage.list(CENTRES_FOLDER)]
    for path in sorted(stored):
        if _size(path) <= GROWTH * len(hashes) <= GROWTH**2 * _size(path) and _read(storage, path) is not None:
            return path
    columns = [centres_of(hashes[:, window]).tobytes() for window in range(hashes.shape[1])]
    name = hashlib.sha256(b"".join(columns)).hexdigest()[:16]
    buffer = io.BytesIO()
    pq.write_table(pa.table({"centres": pa.array(columns, pa.large_binary())}), buffer, write_page_checksum=True)
    path = f"{CENTRES_FOLDER}/{len(hashes)}-{name}.parquet"
    storage.write_bytes(path, buffer.getvalue())
    for each in stored:  # those of the size before stay, since another run may read them now
        if not _size(each) <= GROWTH**2 * len(hashes) <= GROWTH**4 * _size(each):
            storage.delete(each)
            for info in storage.list(_folder(each)):
                storage.delete(info.path)
    return path


def _size(path: str) -> int:
    """Number of the pictures that centres were chosen for."""
    return int(path.rpartition("/")[2].partition("-")[0])


def _folder(path: str) -> str:
    """Of the lists of centres."""
    return f"{COPIES_FOLDER}/lists-{path.rpartition('-')[2].partition('.')[0]}"


def _read(storage: Storage, path: str) -> list[Hashes] | None:
    try:
        table = pq.read_table(io.BytesIO(storage.read_bytes(path)), page_checksum_verification=True)
        columns = table["centres"].to_pylist()
    except (FileNotFoundError, pa.ArrowException, OSError, KeyError):
        return None
    if len(columns) != len(STORED_WINDOWS):
        return None
    return [np.frombuffer(each, np.uint8).reshape(-1, HASH_BYTES) for each in columns]
