"""Where the files of an asset lie: of its definition, and of each materialization of `dataset`."""

import shlex

import dagster as dg

from curator_dagster.printable_text import printable
from stages.manifest import ManifestRef
from stages.run import PhaseReport
from stages.storage import Storage, is_url
from stages.write import DATASET_FOLDER, index_path

REPORT_NAME = "report.html"
"""Where `curator report` writes to, below a root that is a folder."""


def definition_location(asset: str, root: str) -> dict[str, dg.MetadataValue]:
    """``dagster/uri``, which the asset's page shows under *Storage*: the folder of its files.

    Text for a path, which can be copied: a browser follows no link from a server to a local file.
    """
    folder = DATASET_FOLDER if asset == "dataset" else f"manifests/{asset}"
    location = printable(f"{root}/{folder}")
    is_link = is_url(location)
    return {"dagster/uri": dg.MetadataValue.url(location) if is_link else dg.MetadataValue.text(location)}


def dataset_location_metadata(report: PhaseReport, ref: ManifestRef) -> dict[str, dg.MetadataValue]:
    """Version of the root, folder and index of the partition, and the report of the root; nothing of other assets."""
    if report.asset != "dataset":
        return {}
    metadata: dict[str, dg.MetadataValue] = {}
    if report.root_version is not None:
        metadata["version"] = dg.MetadataValue.text(str(report.root_version))  # a number would be one more plot
    folder = f"{ref.root}/{DATASET_FOLDER}/{ref.partition}"
    return {
        **metadata,
        "dagster/uri": location_value(folder),
        "folder": location_value(folder),
        "index": location_value(f"{ref.root}/{index_path(ref.partition)}"),
        "report": _report(ref.root),
    }


def location_value(location: str) -> dg.MetadataValue:
    """A link to a URL; a path, with a button to copy it, to a local file."""
    shown = printable(location)
    return dg.MetadataValue.url(shown) if is_url(location) else dg.MetadataValue.path(shown)


def _report(root: str) -> dg.MetadataValue:
    """The page about the root, or the command that writes it."""
    if not is_url(root) and Storage(root).exists(REPORT_NAME):
        return location_value(f"{root}/{REPORT_NAME}")
    output = " --output FILE" if is_url(root) else ""
    return dg.MetadataValue.text(f"written by: curator report {shlex.quote(printable(root))}{output}")
