"""Builds the distributions of the project from the files of the checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PACKAGES = ("stages", "curator_dagster")
_EXCLUDED_VARIABLES = ("PYTHONPATH", "DAGSTER_HOME", "CURATOR_ROOT", "CURATOR_CONFIG", "CURATOR_SOURCE")
"""Variables by which the checkout, or an instance of whoever runs the tests, would reach a process."""


@dataclass(frozen=True)
class Distributions:
    """A wheel and a source distribution, and what they were built from."""

    checkout: Path
    """Copy of the files that git tracks, or would track."""
    wheel: Path
    sdist: Path


def output_of(command: Sequence[str | Path], *, cwd: Path, **variables: str) -> str:
    """What a command printed; it must end with exit code 0. It sees neither PYTHONPATH nor settings of an instance."""
    inherited = {name: value for name, value in os.environ.items() if name not in _EXCLUDED_VARIABLES}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**inherited, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def copy_checkout(folder: Path) -> Path:
    """A copy without ignored files: what an earlier build left behind would end up in a wheel."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / name, folder / name)
    return folder


def build(source: Path, target: Path, *kinds: str) -> Path:
    """The one distribution that the kinds ask for, built with the setuptools that is installed here."""
    output_of([sys.executable, "-m", "build", "--no-isolation", *kinds, "--outdir", target, source], cwd=target.parent)
    [built] = target.iterdir()
    return built


def wheel_files(wheel: Path) -> dict[str, bytes]:
    """Contents of a wheel by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def sdist_files(sdist: Path) -> dict[str, bytes]:
    """Contents of a source distribution by name, without the folder that all of them lie in."""
    with tarfile.open(sdist) as archive:
        members = [(member.name.partition("/")[2], archive.extractfile(member)) for member in archive.getmembers()]
        return {name: file.read() for name, file in members if file is not None}


def package_files(folder: Path) -> dict[str, bytes]:
    """All files of the packages below a folder by name, data included."""
    files = (file for package in PACKAGES for file in (folder / package).rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}
