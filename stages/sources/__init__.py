"""Source videos: listing them, waiting until they stop changing, grouping them, registering them in partitions.

In: the location of a bucket or folder, and `ReadParams`. Out: partitions with their members, in the order in which they
were registered. Nothing here opens a video.
"""

from stages.sources.contents import PartitionContents, read_contents, read_hours
from stages.sources.erasing import erase_source, members_files_of
from stages.sources.grouping import parse_time_window
from stages.sources.register import Register, RegisterEntry
from stages.sources.registering import (
    copy_register,
    read_members,
    register_batches,
    register_sources,
    register_time_windows,
    registered_partitions,
)
from stages.sources.same_size import RegisteredVideo, relevant_members, same_size_groups
from stages.sources.settling import settle
from stages.sources.source_listing import Source, list_source_pages, list_sources

__all__ = [
    "PartitionContents",
    "Register",
    "RegisterEntry",
    "RegisteredVideo",
    "Source",
    "copy_register",
    "erase_source",
    "list_source_pages",
    "list_sources",
    "members_files_of",
    "parse_time_window",
    "read_contents",
    "read_hours",
    "read_members",
    "register_batches",
    "register_sources",
    "register_time_windows",
    "registered_partitions",
    "relevant_members",
    "same_size_groups",
    "settle",
]
