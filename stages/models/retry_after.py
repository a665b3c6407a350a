"""How long a server asks to be left alone, by the headers of its answer."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]*)?")
"""RFC 9110 knows whole seconds alone; services send fractions too."""


def told_wait_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until the request may be sent again, not negative; None where no header tells.

    ``Retry-After-Ms``, which some services send beside it, is more exact than ``Retry-After``. A date in that (RFC
    9110, 10.2.3) is compared with the server's own clock, its header ``Date``, where there is one: another clock may be
    hours away.

    Args:
        headers: of the answer, by names of any case.
    """
    if (milliseconds := _number(headers.get("Retry-After-Ms", ""))) is not None:
        return milliseconds / 1000
    value = headers.get("Retry-After", "")
    if (seconds := _number(value)) is not None:
        return seconds
    until, now = _date(value), _date(headers.get("Date", "")) or datetime.now(UTC)
    return None if until is None else max(0.0, (until - now).total_seconds())


def _number(value: str) -> float | None:
    found = float(value) if _SECONDS.fullmatch(value.strip()) else math.inf
    return found if math.isfinite(found) else None


def _date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # the latter of a time zone of twenty digits
        return None
    return found.replace(tzinfo=found.tzinfo or UTC)
