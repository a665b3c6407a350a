"""Files of packages that an extra of this project brings. Does not import them."""

from pathlib import Path

from stages.errors import ParamsError
from stages.models.weights import package_file


def extra_file(extra: str, package: str, pattern: str, wanted_by: str) -> Path:
    """Path of the one file of an installed package that a pattern such as ``models/*det*.onnx`` matches.

    Args:
        extra: of this project, which brings the package.
        package: as it is imported.
        pattern: below the package's folder.
        wanted_by: the part that needs it, for messages.

    Raises:
        ParamsError: the package is not installed, or does not hold exactly one such file.
    """
    try:
        folder = package_file(package, "__init__.py").parent
    except ParamsError as error:
        raise ParamsError(
            f"{wanted_by} requires the package {package}, which is not installed. "
            f"Run: pip install 'curator-dagster[{extra}]'"
        ) from error
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise ParamsError(
            f"{wanted_by} requires one file {pattern} in {folder}, got {[path.name for path in found]}. "
            f"Install the versions of constraints.txt: pip install 'curator-dagster[{extra}]' -c constraints.txt"
        )
    return found[0]
