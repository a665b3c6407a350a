"""The address of a server in a parameter."""

import re

_HTTP_URL = re.compile(
    r"https?://(?:[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?:/[!-~]*)?"
)
"""Strict, so that whoever reads the URL finds the same host in it: no user name, no escapes, ASCII only."""


def check_base_url(base_url: str) -> None:
    """Check that an address is an http or https URL.

    Raises:
        ValueError: it is not.
    """
    found = _HTTP_URL.fullmatch(base_url)
    if found is None or not 0 < int(found["port"] or 80) < 65536:
        raise ValueError(
            f"base_url must be an http or https URL with a host, maybe a port, and no user name, got {base_url!r}"
        )
