"""Which source videos there are, and which partition holds which: they are listed, settled, grouped, registered.

In: the location of a bucket or folder, and `ReadParams`. Out: partitions with their members, in the order in which they
were registered. Nothing here opens a video.
"""

from stages.sources.grouping import window_of
from stages.sources.listing import Page, Source, list_pages, list_sources
from stages.sources.register import Entry, Register
from stages.sources.registering import (
    read_members,
    register_batches,
    register_sources,
    register_windows,
    registered_partitions,
)
from stages.sources.settling import Settling, settle

__all__ = [
    "Entry",
    "Page",
    "Register",
    "Settling",
    "Source",
    "list_pages",
    "list_sources",
    "read_members",
    "register_batches",
    "register_sources",
    "register_windows",
    "registered_partitions",
    "settle",
    "window_of",
]
