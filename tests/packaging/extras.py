"""Installs each extra with models into an environment of its own, and runs the tests that concern it.

python -m tests.packaging.extras            # make test-extras
python -m tests.packaging.extras search     # one of them
python -m tests.packaging.extras --sizes    # what each adds to the base install, by what is installed here

What each adds is told of its own environment too.
"""

import argparse
import importlib.metadata
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]
TESTS: dict[str, tuple[str, ...]] = {
    "vlm": (
        "tests/stages/models/test_encoders.py",
        "tests/stages/models/test_openai_captioner.py",
        "tests/stages/models/test_vision_language.py",
    ),
    "filters": (
        "tests/stages/models/test_nsfw.py",
        "tests/stages/filter/test_model_filters.py",
        "tests/stages/filter/test_text_filter.py",
    ),
    "search": ("tests/stages/search/test_caption_search.py", "tests/stages/models/test_text_networks.py"),
    "speech": ("tests/stages/models/test_speech_detector.py", "tests/stages/split/test_speech.py"),
    "xenna": ("tests/stages/executors/test_xenna.py",),
    "gpu": ("tests/gpu", "tests/stages/models/test_device_batches.py"),
}
"""By extra. A test that needs another package than the extra brings would be skipped, which fails here."""
TOOLS = ("pytest", "pytest-timeout", "hypothesis", "syrupy", "psutil")
"""What the tests themselves import."""


def main() -> int:
    """Try the extras that are named, all by default; 1 where one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extras", nargs="*", choices=[*TESTS, []], help="all by default")
    parser.add_argument("--sizes", action="store_true", help="tell sizes, and install nothing")
    chosen = parser.parse_args()
    if chosen.sizes:
        for extra in chosen.extras or TESTS:
            print(size_of(extra))  # noqa: T201
        return 0
    failed = [extra for extra in chosen.extras or TESTS if not is_fine(extra)]
    print(f"failed: {', '.join(failed) or 'none'}")  # noqa: T201
    return int(bool(failed))


def is_fine(extra: str) -> bool:
    """Whether the extra can be installed by itself, and its tests pass with none of them skipped."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"curator-{extra}-") as folder:
        venv.create(folder, with_pip=True, symlinks=True)
        python = Path(folder, "bin", "python")
        install = ["-m", "pip", "install", "--quiet", "--constraint", "constraints.txt", f".[{extra}]", *TOOLS]
        subprocess.run([python, *install], cwd=PROJECT, check=True)
        installed_s = time.monotonic() - started
        subprocess.run([python, "-m", "tests.packaging.extras", "--sizes", extra], cwd=PROJECT, check=True)
        options = ["-q", "-rs", "-p", "no:cacheprovider", "-m", "not long and not gpu"]
        done = subprocess.run(
            [python, "-m", "pytest", *options, *TESTS[extra]], cwd=PROJECT, capture_output=True, text=True, check=False
        )
    last = (done.stdout.strip().splitlines() or [done.stderr.strip()[-300:]])[-1]
    fine = done.returncode == 0 and "skipped" not in last
    if not fine:
        print(done.stdout[-5000:], done.stderr[-2000:])  # noqa: T201
    print(f"{extra}: installed in {installed_s:.0f} s; {last}", flush=True)  # noqa: T201
    return fine


def size_of(extra: str) -> str:
    """A line on what an extra adds to the base install, with the largest packages."""
    added = added_by(extra)
    largest = sorted(added, key=added.__getitem__, reverse=True)[:4]
    named = ", ".join(f"{name} {added[name] / 1e6:.0f}" for name in largest)
    return f"{extra}: {sum(added.values()) / 1e6:.0f} MB in {len(added)} packages: {named}"


def added_by(extra: str) -> dict[str, int]:
    """Bytes of each package that an extra needs and the base install does not.

    Raises:
        importlib.metadata.PackageNotFoundError: one of them is not installed here.
    """
    base = set(_needed("curator-dagster", ""))
    return {name: _num_bytes(name) for name in dict.fromkeys(_needed("curator-dagster", extra)) if name not in base}


def _needed(distribution: str, extra: str) -> Iterator[str]:
    """Names of all that a distribution needs with an extra, itself too."""
    seen: set[tuple[str, str]] = set()
    pending = [(canonicalize_name(distribution), extra)]
    while pending:
        name, wanted = pending.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        yield name
        for line in importlib.metadata.requires(name) or ():
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": each}) for each in {"", wanted}):
                extras = requirement.extras or {""}
                pending += [(canonicalize_name(requirement.name), each) for each in extras]


def _num_bytes(name: str) -> int:
    files = importlib.metadata.files(name) or []
    paths = (Path(str(file.locate())) for file in files)
    return sum(path.stat().st_size for path in paths if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
