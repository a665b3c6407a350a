"""Which checkpoints may bring code of their own, or weights in pickles. The deployment says so, never a launch.

The driver asks `trusted_entries`; its stages carry the answer to the workers, which use it with `trusting`.
"""

import os
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

TRUST_VARIABLE = "CURATOR_TRUST"
PICKLE_PREFIX = "pickle:"
"""Begins an entry that trusts weights in pickles, read by torch's restricted unpickler, and no code."""

_granted: ContextVar[frozenset[str]] = ContextVar("granted", default=frozenset())


def trusted_entries() -> frozenset[str]:
    """Names on the hub, maybe with "@" and a commit, and folders; of the environment and of `trusting` around.

    Those that begin with `PICKLE_PREFIX` trust weights in pickles alone.
    """
    listed = os.environ.get(TRUST_VARIABLE, "").split(",")
    return frozenset(entry.strip() for entry in listed if entry.strip()) | _granted.get()


@contextmanager
def trusting(entries: Iterable[str]) -> Iterator[None]:
    """Trust these entries too, inside the block."""
    token = _granted.set(_granted.get() | frozenset(entries))
    try:
        yield
    finally:
        _granted.reset(token)


def may_run_code_of(model: str, commit: str = "") -> bool:
    """Whether code that lies in a checkpoint may be run.

    Args:
        model: a folder, or a name on the hub. A folder is trusted by its own path or by one above it, symbolic links
            resolved.
        commit: of a checkpoint on the hub; an entry with a commit trusts this one alone.
    """
    return _is_among({each for each in trusted_entries() if not each.startswith(PICKLE_PREFIX)}, model, commit)


def may_read_pickles_of(model: str, commit: str = "") -> bool:
    """Whether weights in pickles may be read, by torch's restricted unpickler; also where code may be run."""
    return _is_among({each.removeprefix(PICKLE_PREFIX) for each in trusted_entries()}, model, commit)


def _is_among(entries: Set[str], model: str, commit: str) -> bool:
    if not Path(model).is_dir():
        return not entries.isdisjoint({model, f"{model}@{commit}"})
    folder = Path(model).resolve()
    trusted = {Path(entry).resolve() for entry in entries if os.path.isabs(entry) or Path(entry).is_dir()}
    return not trusted.isdisjoint({folder, *folder.parents})


def trust_advice(model: str) -> str:
    """What to do where a checkpoint is refused for the code that it brings."""
    return (
        f"It brings code of its own, which runs only where the deployment trusts it: add {model!r} to "
        f"{TRUST_VARIABLE}, or to `trust` in the component's YAML, after you have read that code."
    )
