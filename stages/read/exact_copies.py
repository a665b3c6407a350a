"""Which registered sources are exact copies of sources registered earlier.

A source is a copy where an earlier one is equal in every byte, is still the newest version of its source, and is there:
its file is in the store as it was listed, or its row says that it was read. Of several the earliest counts. All of this
is told by the register and the store, not by what was read before, so the order of runs does not matter.

Sources of a size of their own are not looked at. The others are sampled once, and those with equal samples hashed once.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from stages.errors import SourceError, SourceGone
from stages.manifest import ManifestRef, last_commit, read_commit
from stages.phase import Preparation
from stages.pipeline import ItemResult
from stages.read.fingerprint_stages import fingerprint_task, hash_pipeline, sample_pipeline
from stages.read.fingerprint_store import FingerprintStore
from stages.read.fingerprints import Fingerprint, is_there
from stages.sources import Register, RegisteredVideo, relevant_members, same_size_groups
from stages.storage import Storage, map_concurrently


class _Member(NamedTuple):
    """A video among those of equal content: the earlier ones stand before `place`."""

    equal: Sequence[RegisteredVideo]
    place: int


class ExactCopies:
    """The copies among all registered sources, for one state of the register.

    Args:
        register: of the root.
        storage: of the root, which keeps the fingerprints.
    """

    def __init__(self, register: Register, storage: Storage) -> None:
        self._register = register
        self._storage = storage
        self._store = FingerprintStore(storage)
        self._is_there: dict[str, bool] = {}
        self._read_videos: dict[str, set[str]] = {}

    def preparations(self, partitions: Collection[str]) -> Iterator[Preparation]:
        """Sampling, then hashing, of what the answers for these partitions need."""
        for activity, pipeline, find, counter in (
            ("sampling sources of equal size", sample_pipeline, self._unsampled, ""),
            ("comparing sources with equal samples", hash_pipeline, self._unhashed, "compared_bytes"),
        ):
            found = [*find(partitions)]
            if found:
                tasks = [fingerprint_task(video, self._fingerprint(video).sample) for _, video in found]
                size_bytes = float(sum(size for size, _ in found))
                yield Preparation(
                    activity,
                    pipeline,
                    tasks,
                    self._add_result,
                    self._store.flush,
                    counter,
                    size_bytes if counter else 0.0,
                )

    def of_partition(self, partition: str) -> Mapping[str, RegisteredVideo]:
        """By video id, the earlier source that a video of this partition is a copy of."""
        copies: dict[str, RegisteredVideo] = {}
        pending = {each.equal[each.place].video_id: (each, 0) for each in self._members.get(partition, ())}
        while pending:
            self._look_for({each.equal[tried] for each, tried in pending.values()})
            following: dict[str, tuple[_Member, int]] = {}
            for video_id, (each, tried) in pending.items():
                earlier = each.equal[tried]
                if self._is_there[earlier.video_id]:
                    copies[video_id] = earlier
                elif tried + 1 < each.place:
                    following[video_id] = each, tried + 1
            pending = following
        return copies

    @cached_property
    def _groups(self) -> dict[int, list[RegisteredVideo]]:
        return same_size_groups(self._register)

    @cached_property
    def _members(self) -> dict[str, list[_Member]]:
        """By partition, its videos that have an equal earlier one. To be asked for after the preparations."""
        members: dict[str, list[_Member]] = {}
        for group in self._groups.values():
            for equal in _with_equal(group, lambda video: self._fingerprint(video).sha256):
                for place, video in enumerate(equal[1:], start=1):
                    members.setdefault(video.partition, []).append(_Member(equal, place))
        return members

    def _unsampled(self, partitions: Collection[str]) -> Iterator[tuple[int, RegisteredVideo]]:
        """Size and video."""
        for size_bytes, group in self._groups.items():
            members = relevant_members(group, partitions)
            yield from ((size_bytes, video) for video in members if video.video_id not in self._store.known)

    def _unhashed(self, partitions: Collection[str]) -> Iterator[tuple[int, RegisteredVideo]]:
        """Size and video."""
        for size_bytes, group in self._groups.items():
            members = relevant_members(group, partitions)
            for equal in _with_equal(members, lambda video: self._fingerprint(video).sample):
                relevant = relevant_members(equal, partitions)
                yield from ((size_bytes, video) for video in relevant if not self._fingerprint(video).sha256)

    def _fingerprint(self, video: RegisteredVideo) -> Fingerprint:
        """What is known of a video: empty hashes where nothing is."""
        return self._store.known.get(video.video_id, Fingerprint(""))

    def _add_result(self, result: ItemResult) -> None:
        """Keep a fingerprint. A source that could not be read has none, and is compared with no other in this run."""
        for outcome in result.outcomes:
            if isinstance(outcome, list):
                for row in outcome:
                    self._store.add(row["video_id"], Fingerprint(row["sample"], row["sha256"]))

    def _look_for(self, videos: set[RegisteredVideo]) -> None:
        unknown = [video for video in videos if video.video_id not in self._is_there]
        found = map_concurrently(_is_in_store, unknown) if unknown else []
        for video, is_in_store in zip(unknown, found, strict=True):
            self._is_there[video.video_id] = is_in_store or video.video_id in self._read_in(video.partition)

    def _read_in(self, partition: str) -> set[str]:
        """The videos that rows of a partition say were read."""
        if partition not in self._read_videos:
            ref = ManifestRef(self._storage.root, "videos", partition)
            commit = last_commit(self._storage, ref)
            rows = read_commit(self._storage, ref, commit, ["video_id", "status"]).to_pylist() if commit else []
            self._read_videos[partition] = {row["video_id"] for row in rows if row["status"] == "kept"}
        return self._read_videos[partition]


def _is_in_store(video: RegisteredVideo) -> bool:
    """True where the source is as it was listed; also where its store does not answer, and nothing else is known."""
    try:
        return is_there(video.uri, video.video_id)
    except SourceGone:
        return False
    except SourceError:
        return True


def _with_equal(
    videos: Sequence[RegisteredVideo], value_of: Callable[[RegisteredVideo], str]
) -> Iterator[list[RegisteredVideo]]:
    """The videos that share a value with others, by value, in their order; an empty value is shared by none."""
    by_value: dict[str, list[RegisteredVideo]] = {}
    for video in videos:
        if value := value_of(video):
            by_value.setdefault(value, []).append(video)
    return (equal for equal in by_value.values() if len(equal) > 1)
