"""The registered videos by size: only videos of one size can be copies of one another, byte for byte."""

from collections.abc import Mapping, Sequence

MAX_POSSIBLE_COPIES = 64
"""Of a size that more videos have, which is that of a camera's segments, no video is a possible copy of another."""


class SizeIndex:
    """The videos of each size, in the order of registration."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._names: dict[int, str | list[str]] = {}  # most sizes are those of one video

    def add(self, video_id: str, size_bytes: int) -> None:
        """Add a video. An empty one is passed over: it holds nothing that could be a copy."""
        if not size_bytes or video_id in self._sizes:
            return
        self._sizes[video_id] = size_bytes
        known = self._names.setdefault(size_bytes, video_id)
        if isinstance(known, list):
            known.append(video_id)
        elif known != video_id:
            self._names[size_bytes] = [known, video_id]

    def drop(self, video_id: str) -> None:
        """Remove a video, where it is known."""
        size_bytes = self._sizes.pop(video_id, 0)
        others = [name for name in self._of(size_bytes) if name != video_id]
        if others:
            self._names[size_bytes] = others
        else:
            self._names.pop(size_bytes, None)

    def shared(self) -> Mapping[int, Sequence[str]]:
        """By size, the videos of each size that several have."""
        return {size: names for size, names in self._names.items() if isinstance(names, list) and len(names) > 1}

    def possible_copies(self, video_id: str) -> Sequence[str]:
        """Later videos of this one's size, which are copies of it or not; none where `MAX_POSSIBLE_COPIES` have it."""
        names = self._of(self._sizes.get(video_id, 0))
        return names[names.index(video_id) + 1 :] if len(names) <= MAX_POSSIBLE_COPIES and video_id in names else []

    def _of(self, size_bytes: int) -> list[str]:
        found = self._names.get(size_bytes, [])
        return [found] if isinstance(found, str) else found
