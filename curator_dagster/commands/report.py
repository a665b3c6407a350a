"""`curator report`: writes the HTML page about a root to a file."""

import os
from pathlib import Path

from curator_dagster.metadata import REPORT_NAME
from curator_dagster.report.contents import page_contents
from curator_dagster.report.page import render_page
from stages.errors import ParamsError
from stages.storage import Storage, is_url, normalize_location

MB = 1_000_000


def write_report(root: str, output: str | None, max_mb: float) -> str:
    """Write the page about a root to a file of at most `max_mb` megabytes; returns its location.

    Raises:
        ParamsError: the root does not exist, or the output is not a file.
        ManifestError: a table is damaged.
        StorageError: the store does not answer.
    """
    location = _output_location(root, output)
    storage = Storage(root)
    text = render_page(page_contents(storage, int(max_mb * MB)))
    folder, _, name = location.rpartition("/")
    Storage(folder or "/").write_bytes(name, text.encode())
    return location


def _output_location(root: str, output: str | None) -> str:
    """Location of the page.

    Raises:
        ParamsError: the root is no existing folder; it is a URL and no output is given; the output is a folder.
    """
    if not is_url(normalize_location(root)) and not Path(normalize_location(root)).is_dir():
        raise ParamsError(f"ROOT must be a folder that `curator run` wrote to, or a URL, got {root!r}.")
    if output is None:
        if is_url(normalize_location(root)):
            raise ParamsError(f"--output must name a file where ROOT is a URL, got none for {root}.")
        return f"{normalize_location(root)}/{REPORT_NAME}"
    is_bucket = is_url(output) and "/" not in normalize_location(output).partition("://")[2]
    if is_bucket or os.path.isdir(normalize_location(output)):
        raise ParamsError(f"--output must be a file, got {output}. Name a file in it.")
    return normalize_location(output)
