import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.errors import ParamsError
from stages.models.weights import file_hash, package_file


def test_package_file_is_found_without_importing_the_package() -> None:
    code = (
        "import sys; from stages.models.weights import package_file;"
        "print(package_file('efficientnet_lite_pytorch', 'model.py').name, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["model.py", "False"]


@pytest.mark.parametrize(
    ("package", "relative", "message"),
    [("no_such_package", "a", "must be installed"), ("efficientnet_lite_pytorch", "no.pth", "must hold 'no.pth'")],
)
def test_package_file_rejects_what_is_not_there(package: str, relative: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        package_file(package, relative)


def test_file_hash_follows_the_content(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    assert file_hash(path) == hashlib.sha256(b"one").hexdigest()[:16]
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert file_hash(path) == hashlib.sha256(b"two").hexdigest()[:16]


def test_file_hash_rejects_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        file_hash(tmp_path / "none")
