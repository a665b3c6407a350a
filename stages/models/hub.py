"""Requests to the hub of checkpoints, by its own client."""

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from stages.models.checkpoints import hub_cache_folder

TIMEOUT_S = 20.0
_HTTP_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]
"""The base of all errors of the client's HTTP library, which is not the same in all of its versions."""


def commit_of(model: str, revision: str) -> str:
    """The commit of a branch or tag.

    Raises:
        OSError: the hub does not answer, or knows no such model or revision.
    """
    try:
        return str(HfApi().model_info(model, revision=revision, timeout=TIMEOUT_S).sha)
    except _HTTP_ERROR as error:
        raise ConnectionError(f"{type(error).__name__}: {error}") from error


def download(model: str, commit: str, patterns: list[str]) -> None:
    """Bring files of a commit into the local cache; those that are there are not brought again.

    Raises:
        OSError: the hub does not answer, or a file does not come.
    """
    cache_folder = hub_cache_folder(model).parent
    try:
        snapshot_download(model, revision=commit, allow_patterns=patterns, cache_dir=cache_folder)
    except _HTTP_ERROR as error:
        raise ConnectionError(f"{type(error).__name__}: {error}") from error
