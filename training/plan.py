"""What a stage would do, and what it would cost, before anything starts."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from catalog.settings.training import Stage, Student
from networks.student.model import StudentDiT
from training.batches import Batch
from training.loop import Precision
from training.objective import losses
from training.optimizer import freeze
from training.parallel import World, apply
from training.stage import Inputs, architecture_of, first_folder, make_draws, read_pairs

MFU = 0.4
"""Share of a GPU's peak that the time estimate supposes."""

PEAK_TFLOPS = {"H100": 989.4, "H200": 989.4, "H800": 989.4, "A100": 312.0, "L40S": 362.0}
"""Dense bf16 peaks of NVIDIA's data sheets (SXM where there are several), in TFLOP/s."""


SMALL = 200_000_000
"""Parameters up to which a sample is run to see how long it takes."""


@dataclass(frozen=True)
class Plan:
    """A stage in numbers."""

    steps: int
    samples: dict[str, dict[str, int]]
    """By task and origin."""
    missing: list[str]
    parameters: int
    frozen: int
    memory: dict[str, float]
    """MiB by what takes it: weights, gradients, optimizer, average, activations."""
    tflop_per_sample: float
    """Forward and backward, nothing recomputed."""
    seconds: float
    assumption: str
    """Where the seconds come from."""

    @property
    def memory_mib(self) -> float:
        """The sum of `memory`."""
        return sum(self.memory.values())


def _sample(stage: Stage, device: torch.device) -> Batch:
    pixels = torch.zeros(1, 3, stage.crop, stage.crop, device=device)
    return Batch(
        (),
        pixels,
        pixels,
        pixels,
        torch.ones(1, device=device),
        torch.zeros(1, dtype=torch.long, device=device),
    )


def saved_mib(student: Student, stage: Stage) -> float:
    """MiB of activations of one sample that the backward pass keeps, in float32.

    Counted on PyTorch's meta device, which computes shapes alone, so any size fits.
    """
    meta = torch.device("meta")
    with meta:
        model = StudentDiT(architecture_of(student))
    apply(model, stage.model_copy(update={"compile": False}), World())
    own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}  # held, so that no number comes twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        losses(model, _sample(stage, meta), stage.loss).mean()
    return sum(kept[key].nbytes() for key in kept.keys() - own) / 2**20


def sample_seconds(model: StudentDiT, stage: Stage, precision: Precision) -> float:
    """Seconds of a forward and backward pass of one sample."""
    batch = _sample(stage, precision.device)
    seconds = 0.0
    for _ in range(3):  # the first runs also load kernels; the last counts
        began = time.perf_counter()
        with precision.autocast():
            loss = losses(model, batch, stage.loss).mean()
        loss.backward()
        seconds = time.perf_counter() - began
    model.zero_grad(set_to_none=True)
    return seconds


def gpu_peak() -> float | None:
    """Peak TFLOP/s of this machine's GPU, None when there is none or it is not in the table."""
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    return next((peak for key, peak in PEAK_TFLOPS.items() if key in name), None)


def make_plan(inputs: Inputs, student: Student, stage: Stage) -> Plan:
    """Read the dataset, count one sample's work, and say what the stage will cost.

    Raises the `UserError` that the stage itself would raise.
    """
    draws = make_draws(read_pairs(inputs.dataset), stage)
    first_folder(student, inputs.first)
    with torch.device("meta"):
        model = StudentDiT(architecture_of(student))
    freeze(model, stage.freeze)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    mib = 4 / 2**20  # a float32
    memory = {
        "weights": parameters * mib,
        "gradients": learning * mib,
        "optimizer": 2 * learning * mib,
        "average": parameters * mib if stage.ema else 0.0,
        "activations": saved_mib(student, stage) * (stage.micro_batch or stage.batch),
        "decoded images": float(stage.cache_mib),
    }
    tflop = 3 * model.flops(stage.crop, stage.crop) / 1e12
    samples = stage.steps * stage.batch
    seconds, assumption = _seconds(student, stage, parameters, tflop)
    return Plan(
        steps=stage.steps,
        samples=draws.counts(samples),
        missing=[str(task) for task in draws.missing],
        parameters=parameters,
        frozen=parameters - learning,
        memory=memory,
        tflop_per_sample=tflop,
        seconds=samples * seconds,
        assumption=assumption,
    )


def _seconds(student: Student, stage: Stage, parameters: int, tflop: float) -> tuple[float, str]:
    """Seconds a sample, and where they come from."""
    peak = gpu_peak()
    if peak:
        return tflop / peak / MFU, f"at {MFU:.0%} of the GPU's {peak:.0f} TFLOP/s"
    if parameters > SMALL:
        peak = PEAK_TFLOPS["H100"]
        return tflop / peak / MFU, f"at {MFU:.0%} of one H100's {peak:.0f} TFLOP/s (none is here)"
    model = StudentDiT(architecture_of(student)).to(Precision.of(stage).device)
    seconds = sample_seconds(model, stage, Precision.of(stage))
    return seconds, f"from one sample in {seconds:.3f} s on this machine as it is now"


def describe(name: str, plan: Plan) -> str:
    """The plan as lines for a terminal."""
    lines = [
        f"stage {name}: {plan.steps} steps, {sum(map(sum_counts, plan.samples.values()))} samples",
        f"{'task':12s} {'synthetic':>10s} {'real':>10s}",
    ]
    for task, counts in plan.samples.items():
        lines.append(f"{task:12s} {counts['synthetic']:10d} {counts['real']:10d}")
    if plan.missing:
        lines.append(f"no training pairs for: {', '.join(plan.missing)}")
    lines += [
        f"parameters: {plan.parameters:,}, of which frozen {plan.frozen:,}",
        f"memory: about {plan.memory_mib:,.0f} MiB ("
        + ", ".join(f"{name} {mib:,.0f}" for name, mib in plan.memory.items() if mib)
        + ")",
        f"work: {plan.tflop_per_sample:.4g} TFLOP a sample",
        f"time: about {duration(plan.seconds)}, {plan.assumption}; validation not counted",
    ]
    return "\n".join(lines)


def sum_counts(counts: dict[str, int]) -> int:
    """Samples of a task over its origins."""
    return sum(counts.values())


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
