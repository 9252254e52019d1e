"""Speed of a run: a log of wall-clock figures beside, never inside, the stage's outputs."""

import json
import resource
import time
from pathlib import Path

import torch


class Throughput:
    """Appends a line to `path` every `every` steps.

    step_s: seconds a step. samples_per_s. tflops: floating-point operations of the network over
    time, three forward passes a sample, recomputation not counted. data_wait: share of the time in
    which the network waited for a batch. memory_mib: peak of the process, or of the GPU.
    """

    def __init__(self, path: Path, samples: int, flops_per_sample: float, every: int) -> None:
        self.path, self.samples, self.every = path, samples, every
        self.flops = 3 * flops_per_sample * samples
        self._waited = 0.0
        self._steps = 0
        self._since = time.perf_counter()

    def waited(self, seconds: float) -> None:
        """Count time spent on waiting for data."""
        self._waited += seconds

    def step(self, number: int, device: torch.device) -> None:
        """Count a step; write a line when it is due."""
        self._steps += 1
        if self._steps < self.every:
            return
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            memory = torch.cuda.max_memory_allocated(device) / 2**20
        else:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        now = time.perf_counter()
        seconds = (now - self._since) / self._steps
        row = {
            "step": number,
            "step_s": round(seconds, 5),
            "samples_per_s": round(self.samples / seconds, 3),
            "tflops": round(self.flops / seconds / 1e12, 4),
            "data_wait": round(self._waited / (now - self._since), 4),
            "memory_mib": round(memory),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.pause()

    def pause(self) -> None:
        """Start the clock again, so that what happened between steps is not counted."""
        self._steps, self._waited, self._since = 0, 0.0, time.perf_counter()
