"""Opens networks in ONNX files."""

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as onnx_errors

from stages.errors import ParamsError

_LOAD_ERRORS = (
    onnx_errors.Fail,
    onnx_errors.InvalidArgument,
    onnx_errors.InvalidGraph,
    onnx_errors.InvalidProtobuf,
    onnx_errors.NoModel,
    onnx_errors.NoSuchFile,
    onnx_errors.NotImplemented,
    onnx_errors.RuntimeException,
)


def open_session(path: str, device: str, num_threads: int, *, wanted_by: str) -> onnxruntime.InferenceSession:
    """The network of a file, on the device where this installation of onnxruntime has a provider for it, else the CPU.

    Raises:
        ParamsError: the file is damaged, or holds no network that this version can run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = max(1, num_threads), 1
    options.log_severity_level = 4
    providers: list[str | tuple[str, dict[str, int]]] = ["CPUExecutionProvider"]
    kind, _, index = device.partition(":")
    if kind == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(index or 0)}))
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except _LOAD_ERRORS as error:
        raise ParamsError(
            f"{wanted_by} requires a whole network of ONNX in {path}, got: {error}. Install its package again, or copy "
            "the file again."
        ) from error
