"""Links to folders in a listing of a local folder: which of them are followed."""

import logging
import os

logger = logging.getLogger(__name__)


class FolderLinks:
    """Decides for each folder of a walk whether its files are listed there, so that each file is listed once.

    A link is not followed where its folder lies in the listed one, and so is listed by its own path, or contains it (a
    loop), or lies in a folder that another link of this walk leads to, or in the folder that is left out. Links are
    seen in the order in which a walk reads the folders. A walk that begins in the middle does not read the folders
    before, so that of two links to one folder, in folders far apart, both may be followed.

    Args:
        location: the listed folder.
        excluded_folder: that is left out also where a link leads to it; absolute, or below the location.
    """

    def __init__(self, location: str, excluded_folder: str | None) -> None:
        self._location = os.path.realpath(location)
        self._excluded = os.path.realpath(os.path.join(location, excluded_folder)) if excluded_folder else None
        self._targets: dict[str, str] = {}
        """Path of each followed link, which ends in "/", by the real path of its folder."""

    def is_folder(self, entry: os.DirEntry[str]) -> bool:
        """True for a folder and for a link to one."""
        try:
            return entry.is_dir()
        except OSError:  # a link to itself, or into a folder without permission
            return False

    def is_listed_here(self, entry: os.DirEntry[str], path: str) -> bool:
        """True where the files in this folder are to be listed under this path, which is below the location."""
        if entry.is_symlink():
            return self._follow(os.path.realpath(entry.path), path)
        if not any(path.startswith(link) for link in self._targets.values()):
            return True
        real = os.path.realpath(entry.path)
        return real not in (self._location, self._excluded) and self._targets.get(real, f"{path}/") == f"{path}/"

    def _follow(self, target: str, path: str) -> bool:
        known = [self._location, *self._targets, *([self._excluded] if self._excluded else [])]
        if self._targets.get(target) == f"{path}/":
            return True
        if any(_is_within(target, folder) for folder in known) or _is_within(self._location, target):
            logger.info(
                "The link %s is not followed: the files in %s are listed elsewhere, or not at all.", path, target
            )
            return False
        self._targets[target] = f"{path}/"
        return True


def _is_within(path: str, folder: str) -> bool:
    """True for the folder itself and all below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
