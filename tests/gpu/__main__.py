"""Runs all checks and prints their table. Ends with 1 where one failed, with 2 where there is no such device."""

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from tests.gpu import batches, faults, networks, report, throughput
from tests.gpu.setting import Setting

CHECKS = {
    "precision": networks.precision,
    "shots": networks.shot_network,
    "efficientnet": networks.efficientnet,
    "encoders": networks.encoders,
    "texts": networks.texts,
    "classifier": networks.classifier,
    "company": batches.company,
    "back_off": batches.back_off,
    "memory": batches.real_memory,
    "poisoned": faults.poisoned_context,
    "shot_speed": throughput.of_shots,
    "embedding_speed": throughput.of_embedding,
}


def main() -> int:
    """Run the checks that the command line names, all by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda:0", help="a device of torch; 'cpu' runs the same code without CUDA")
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=list(CHECKS), metavar="CHECK")
    chosen = parser.parse_args()
    if chosen.device.startswith("cuda") and not torch.cuda.is_available():
        print(f"{chosen.device}: torch {torch.__version__} finds no CUDA device. Nothing was run.", file=sys.stderr)  # noqa: T201
        return 2
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    started = time.perf_counter()
    results: list[report.Result] = []
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(chosen.device, Path(folder))
        itself = "" if setting.is_cuda else " Compared with itself: this shows that the code runs, and no more."
        print(f"{setting.describe()}.{itself}\n\n{report.HEADER}", flush=True)  # noqa: T201
        for result, seconds in report.run([(name, partial(CHECKS[name], setting)) for name in chosen.only]):
            results.append(result)
            print(report.line(result, seconds), flush=True)  # noqa: T201
    print(f"\n{report.summary(results)}; {time.perf_counter() - started:.0f} s in all")  # noqa: T201
    return int(any(result.outcome == "failed" for result in results))


if __name__ == "__main__":
    sys.exit(main())
