"""The threads of the libraries that multiply: as many as the worker has CPUs, since each takes all of a machine's."""

import ctypes

import faiss
from numpy.linalg import _umath_linalg

_SETTERS = ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads", "openblas_set_num_threads")
"""Names by which numpy's wheels carry the function of OpenBLAS."""
_GETTERS = tuple(name.replace("_set_", "_get_") for name in _SETTERS)


def set_num_threads(count: int) -> None:
    """Set the number of threads of faiss and of numpy's BLAS in this process."""
    faiss.omp_set_num_threads(count)
    if (setter := _function_of_blas(_SETTERS)) is not None:
        setter(ctypes.c_int(count))


def num_blas_threads() -> int | None:
    """The number of threads of numpy's BLAS; None where it is no OpenBLAS, and not set here."""
    getter = _function_of_blas(_GETTERS)
    return None if getter is None else int(getter())


def _function_of_blas(names: tuple[str, ...]) -> "ctypes._NamedFuncPointer | None":
    """A function of the BLAS that numpy is linked with, by the first of the names that there is."""
    library = ctypes.CDLL(_umath_linalg.__file__)
    found = (getattr(library, name, None) for name in names)
    return next((function for function in found if function is not None), None)
