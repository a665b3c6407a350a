"""Groups of registered videos of one size, among which alone exact copies are looked for."""

from collections.abc import Collection
from typing import NamedTuple

from stages.sources.register import Register


class RegisteredVideo(NamedTuple):
    """A version of a source, as the register has it."""

    video_id: str
    uri: str
    partition: str


def same_size_groups(register: Register) -> dict[int, list[RegisteredVideo]]:
    """By size, the current videos of each size that several have, in the order of registration.

    A video is current unless its source was listed later with other content, or forgotten.
    """
    shared = register.sizes.shared()
    names = {name for group in shared.values() for name in group}
    if not names:
        return {}
    uris = {video_id: uri for uri, video_id in register.newest_version.items() if video_id in names}
    groups: dict[int, list[RegisteredVideo]] = {}
    for size_bytes, group in shared.items():
        current = [
            RegisteredVideo(name, uris[name], register.partition_by_video_id[name]) for name in group if name in uris
        ]
        if len(current) > 1:
            groups[size_bytes] = current
    return groups


def relevant_members(group: list[RegisteredVideo], partitions: Collection[str]) -> list[RegisteredVideo]:
    """The members of a group up to its last one in these partitions; none where that is the first of the group.

    Later members say nothing about the earlier ones.
    """
    last = max((index for index, video in enumerate(group) if video.partition in partitions), default=0)
    return group[: last + 1] if last else []
