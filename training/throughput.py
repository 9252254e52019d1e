"""Speed of a run: a log of wall-clock figures beside, never inside, the stage's outputs."""

import json
import math
import resource
import time
from pathlib import Path

import torch

from catalog.files import atomic_file
from training.batches import Batch
from training.hardware import gpu_peak
from training.trainable import Trainable


class Throughput:
    """Appends a line to `path` every `every` steps, for the whole run of `processes`.

    step_s: seconds a step. samples_per_s, tokens_per_s: of all processes. tflops: floating-point
    operations of the network over time and process, recomputation not counted. mfu: that over the
    GPU's bf16 peak, null where the peak is not known. data_wait: share of the time in which the
    network waited for a batch. memory_mib: peak of the process, or of the GPU.
    """

    def __init__(self, path: Path, trainable: Trainable, processes: int, every: int) -> None:
        self.path, self.trainable, self.processes, self.every = path, trainable, processes, every
        self.pause()

    def begin(self, step: int) -> None:
        """Keep the lines up to `step`, which is gone on from; of a new run none."""
        old = self.path.read_text("utf-8") if step and self.path.exists() else ""
        with atomic_file(self.path) as temporary:
            kept = (line for line in old.splitlines(keepends=True) if _step_of(line) <= step)
            temporary.write_text("".join(kept), "utf-8")

    def pause(self) -> None:
        """Start the clock again, so that what happened between steps is not counted."""
        self._steps = self._samples = self._tokens = 0
        self._flops = self._waited = 0.0
        self._since = time.perf_counter()

    def waited(self, seconds: float) -> None:
        """Count time spent on waiting for data."""
        self._waited += seconds

    def step(self, number: int, batch: list[Batch], device: torch.device) -> None:
        """Count a step; write a line when it is due."""
        for part in batch:
            height, width = part.clean.shape[-2:]
            count = len(part.pairs)
            self._samples += count
            self._tokens += count * self.trainable.tokens(height, width)
            self._flops += self.trainable.passes * count * self.trainable.flops(height, width)
        self._steps += 1
        if self._steps < self.every:
            return
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            memory = torch.cuda.max_memory_allocated(device) / 2**20
        else:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seconds = time.perf_counter() - self._since
        tflops, peak = self._flops / seconds / 1e12, gpu_peak()
        row = {
            "step": number,
            "step_s": round(seconds / self._steps, 5),
            "samples_per_s": round(self.processes * self._samples / seconds, 3),
            "tokens_per_s": round(self.processes * self._tokens / seconds, 1),
            "tflops": round(tflops, 4),
            "mfu": round(tflops / peak, 4) if peak else None,
            "data_wait": round(self._waited / seconds, 4),
            "memory_mib": round(memory),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.pause()


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return math.inf  # torn by a kill
