"""What a stage would do, and what it would cost, before anything starts."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from catalog.settings.training import Network, Stage, Student
from networks.editing import lora
from networks.editing.base import Editor
from networks.student.model import StudentDiT
from training import scoring, validation
from training.batches import Batch
from training.draws import Pair
from training.hardware import PEAK_TFLOPS, gpu_peak
from training.objective import losses
from training.optimizer import freeze
from training.parallel import blocks_of
from training.precision import Precision
from training.recompute import Recompute
from training.settings_check import require_whole_patches, warn_of_times
from training.stage import Inputs, architecture_of, first_folder, make_draws, read_pairs

MFU = 0.4
"""Share of a GPU's peak that the time estimate supposes."""

SMALL = 200_000_000
"""Parameters up to which a sample of the student is run to see how long it takes."""


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
    """MiB by what takes it: weights, gradients, optimizer, average, activations and so on. Of a
    large model what its device holds, decoded images (in the host's memory) left out."""
    tflop_per_sample: float
    """Forward and backward, nothing recomputed."""
    seconds: float
    validation_seconds: float
    """All validations together."""
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
        torch.zeros(1, dtype=torch.bool, device=device),
    )


def saved_mib(model: nn.Module, stage: Stage, loss: Callable[[], Tensor]) -> float:
    """MiB of activations that the backward pass of `loss`, of one sample, keeps.

    `model` is on PyTorch's meta device, which computes shapes alone, so any size fits. Its blocks
    are wrapped in place. Selective checkpointing is taken for half way between none and full.
    Compiled blocks keep less: where this says 75 GiB (12 B parameters, none recomputed), a run on
    an H100 kept about 54.
    """
    for blocks, index in blocks_of(model):
        blocks[index] = Recompute(blocks[index])
    policy = stage.activation_checkpointing
    full = _kept(model, loss, recompute=True) if policy != "none" else 0.0
    whole = _kept(model, loss, recompute=False) if policy in ("none", "selective") else full
    return (full + whole) / 2 if policy == "selective" else whole


def _kept(model: nn.Module, loss: Callable[[], Tensor], recompute: bool) -> float:
    own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}  # held, so that no number comes twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage
        return tensor

    def entering(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        # A recomputed block holds its inputs, which no hook of autograd sees.
        for value in (*given, *named.values()):
            if isinstance(value, Tensor) and value.requires_grad:
                pack(value)

    hooks = []
    for module in model.modules():
        if isinstance(module, Recompute):
            module.enabled = recompute
            if recompute:
                hooks.append(module.register_forward_pre_hook(entering, with_kwargs=True))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), _FusedAttention():
        loss()
    for hook in hooks:
        hook.remove()
    return sum(kept[key].nbytes() for key in kept.keys() - own) / 2**20


class _Fused(torch.autograd.Function):
    """Keeps what a fused kernel keeps, its inputs, its result and a number a row; computes none."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = torch.empty_like(query)
        sums = torch.empty(query.shape[:-1], dtype=torch.float32, device=query.device)
        ctx.save_for_backward(query, key, value, out, sums)
        return out


class _FusedAttention(TorchFunctionMode):
    """The meta device knows the plain formula alone, which keeps tokens x tokens of every head."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is functional.scaled_dot_product_attention:
            named = dict(zip(("query", "key", "value"), args, strict=False)) | (kwargs or {})
            return _Fused.apply(named["query"], named["key"], named["value"])
        return func(*args, **(kwargs or {}))


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


@dataclass(frozen=True)
class _Sketch:
    """The network without weights, and what a sample costs it."""

    model: nn.Module
    loss: Callable[[], Tensor]
    tflop: float
    """Of a forward pass."""
    passes: float
    restoring: int
    """Forward passes that a restoration takes."""
    encoders: float = 0.0
    """MiB of frozen encoders on the device."""


def _sketch(student: Student, stage: Stage, network: Network, first: Path | None) -> _Sketch:
    meta = torch.device("meta")
    if network.family == "student":
        first_folder(student, first)
        with meta:
            model = StudentDiT(architecture_of(student))
        freeze(model, stage.freeze)
        return _Sketch(
            model,
            lambda: losses(model, _sample(stage, meta), stage.loss).mean(),
            model.flops(stage.crop, stage.crop) / 1e12,
            3.0,
            stage.validation_steps or model.architecture.sampling_steps,
        )
    editor = _editor_class(network.family).sketch(
        Path(network.folder) if network.folder and Path(network.folder).is_dir() else None,
        torch.float32 if stage.precision == "fp32" else torch.bfloat16,
    )
    if stage.lora_rank:
        lora.add_lora(editor.network, stage.lora_rank, stage.lora_alpha, stage.lora_targets)
    else:
        freeze(editor.network, stage.freeze)
    side = stage.crop

    def loss() -> Tensor:
        kind = next(editor.network.parameters()).dtype
        latents = torch.zeros(1, *editor.latent_shape(side, side), device=meta, dtype=kind)
        given = {
            k: v.to(kind) if v.is_floating_point() else v
            for k, v in editor.blank(side, side).items()
        }
        t = torch.ones(1, device=meta, dtype=kind)
        return editor.velocity(latents, latents, (side, side), t, given).square().mean()

    return _Sketch(
        editor.network,
        loss,
        editor.flops(side, side) / 1e12,
        2.0 if stage.lora_rank else 3.0,
        (stage.validation_steps or editor.steps) * (2 if editor.guidance > 1 else 1),
        0.0 if network.offload else editor.encoder_gib * 1024,
    )


def _editor_class(family: str) -> type[Editor]:
    from networks.editing.kontext import KontextEditor
    from networks.editing.qwen_image import QwenImageEditor
    from networks.step1x.editor import Step1XEditor

    kinds: list[type[Editor]] = [Step1XEditor, KontextEditor, QwenImageEditor]
    return next(kind for kind in kinds if kind.name == family)


def make_plan(
    inputs: Inputs,
    student: Student,
    stage: Stage,
    network: Network | None = None,
    processes: int = 1,
) -> Plan:
    """Read the dataset, count one sample's work, and say what the stage will cost.

    `processes`: over which weights, gradients, states and samples are shared. Raises the
    `UserError` that the stage itself would raise.
    """
    network = network or Network()
    require_whole_patches(student, stage, network)
    warn_of_times(student, stage, network)
    pairs = read_pairs(inputs.dataset)
    draws = make_draws(pairs, stage)
    sketch = _sketch(student, stage, network, inputs.first)
    large = network.family != "student"
    sizes = [(p.numel(), p.requires_grad) for p in sketch.model.parameters()]
    parameters = sum(count for count, _ in sizes)
    learning = sum(count for count, learns in sizes if learns)
    # Editing models keep their file's bf16 unless told otherwise; adapters are fp32.
    wide = 2 if large and network.weights != "fp32" else 4
    own = 4 if stage.lora_rank else wide
    mib = 1 / 2**20 / processes
    samples = stage.micro_batch or -(-stage.batch // processes)
    held = max(count for count, _ in sizes) if stage.free_gradients != "no" else learning
    memory = {
        "weights": ((parameters - learning) * wide + learning * own) * mib,
        "gradients": held * own * mib,
        "optimizer": 2 * learning * (1 if stage.optimizer == "adamw-8bit" else own) * mib,
        "average": learning * 4 * mib if stage.ema else 0.0,
        "activations": saved_mib(sketch.model, stage, sketch.loss) * samples,
        "gathered": _gathered(sketch.model) * 2 * own / 2**20 if processes > 1 else 0.0,
        "encoders": sketch.encoders,
        "decoded images": 0.0 if large else float(stage.cache_mib),
    }
    tflop = sketch.passes * sketch.tflop
    seconds, assumption = _seconds(student, stage, large, parameters, tflop)
    validations = _validations(stage, pairs["validation"], sketch, processes, large)
    return Plan(
        steps=stage.steps,
        samples=draws.counts(stage.steps * stage.batch),
        missing=[str(task) for task in draws.missing],
        parameters=parameters,
        frozen=parameters - learning,
        memory=memory,
        tflop_per_sample=tflop,
        seconds=stage.steps * stage.batch * seconds / processes,
        validation_seconds=validations * seconds / sketch.passes,
        assumption=assumption,
    )


def _gathered(model: nn.Module) -> int:
    """Weights that a process holds whole beside its share: two blocks, and all outside blocks."""
    sizes = [sum(p.numel() for p in blocks[i].parameters()) for blocks, i in blocks_of(model)]
    outside = sum(p.numel() for p in model.parameters()) - sum(sizes)
    return outside + 2 * max(sizes)


def _validations(
    stage: Stage, pairs: list[Pair], sketch: _Sketch, processes: int, large: bool
) -> int:
    """Forward passes of a process in all validations: the first, those between, the last."""
    count = 1 + -(-stage.steps // stage.validate_every)
    measured = -(-len(validation.choose(pairs, stage.validation_pairs)) // processes)
    # Only large models share the scored images (`Trainable.even`).
    scored = -(-len(scoring.choose(pairs, stage.score_images)) // (processes if large else 1))
    losses_each = len(validation.times_of(stage))
    return count * (measured * (sketch.restoring + losses_each) + scored * sketch.restoring)


def _seconds(
    student: Student, stage: Stage, large: bool, parameters: int, tflop: float
) -> tuple[float, str]:
    """Seconds a sample, and where they come from."""
    peak = gpu_peak()
    if peak:
        return tflop / peak / MFU, f"at {MFU:.0%} of the GPU's {peak:.0f} TFLOP/s"
    if large or parameters > SMALL:
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
        f"memory of a process: about {plan.memory_mib:,.0f} MiB ("
        + ", ".join(f"{name} {mib:,.0f}" for name, mib in plan.memory.items() if mib)
        + ")",
        f"work: {plan.tflop_per_sample:.4g} TFLOP a sample",
        f"time: about {duration(plan.seconds)}, and {duration(plan.validation_seconds)} for "
        f"validations, {plan.assumption}",
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
