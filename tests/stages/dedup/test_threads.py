"""Threads of the libraries that multiply, in a process of its own: they are set for a whole process."""

import subprocess
import sys


def test_both_libraries_take_as_many_threads_as_they_are_told() -> None:
    code = (
        "import faiss; from stages.dedup.threads import num_blas_threads, set_num_threads; set_num_threads(1);"
        "print(faiss.omp_get_max_threads(), num_blas_threads())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1 1\n"
