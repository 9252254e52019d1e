"""Seconds a training sample, and an image, of Step1X-Edit's network on one GPU, random weights.

    python -m benchmarks.train_step1x_gpu            # 1024 x 1024, 8,832 tokens, 12.43 B
    python -m benchmarks.train_step1x_gpu --debug    # the same code at a tiny size, CPU or GPU
    python -m benchmarks.train_step1x_gpu --variant NAME NAME    # some, in one process

Each variant runs in a process of its own (an attention kernel that dies takes no other with it) and
prints a line of JSON: seconds a sample (median), peak memory, share of the bf16 peak. The
alternative in the same run is diffusers' own transformer, eager and compiled, every block
checkpointed.
"""

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from benchmarks.whole_step import Surroundings
from catalog.errors import UserError
from catalog.settings.training import Stage
from networks.editing.attention import kernels
from networks.editing.base import transformer_flops
from networks.editing.lora import add_lora
from networks.step1x.config import Step1XConfig
from networks.step1x.guidance import guide
from networks.step1x.latents import timesteps
from networks.step1x.model import Step1XTransformer
from networks.step1x.text import LENGTH
from training.freed import FreedGradients
from training.hardware import PEAK_TFLOPS
from training.parallel import blocks_of
from training.recompute import Recompute

VARIANTS: dict[str, dict[str, Any]] = {
    "diffusers eager, all checkpointed": {"checkpointed": 1.0},
    "diffusers compiled, all checkpointed": {"checkpointed": 1.0, "compile": True},
    "cudnn attention, compiled, all checkpointed": {
        "checkpointed": 1.0,
        "compile": True,
        "attention": "cudnn",
    },
    "efficient attention, compiled, all checkpointed": {
        "checkpointed": 1.0,
        "compile": True,
        "attention": "efficient",
    },
    "PyTorch's own choice, compiled, all checkpointed": {
        "checkpointed": 1.0,
        "compile": True,
        "attention": "any",
    },
    "compiled, half checkpointed": {"checkpointed": 0.5, "compile": True},
    "compiled, selective": {"checkpointed": 1.0, "selective": True, "compile": True},
    "compiled, none checkpointed": {"checkpointed": 0.0, "compile": True},
    "LoRA 64, compiled, half checkpointed": {"checkpointed": 0.5, "compile": True, "lora": 64},
    "LoRA 64, compiled, all checkpointed": {"checkpointed": 1.0, "compile": True, "lora": 64},
    "full step, 8-bit states, gradients freed, all checkpointed": {
        "checkpointed": 1.0,
        "compile": True,
        "step": "adamw-8bit",
    },
    "whole step, 8-bit states, gradients freed, all checkpointed": {
        "checkpointed": 1.0,
        "compile": True,
        "step": "adamw-8bit",
        "whole": True,
    },
    "forward, compiled": {"checkpointed": 0.0, "compile": True, "kind": "forward"},
    "image, 28 steps with guidance, eager": {"checkpointed": 0.0, "kind": "image"},
    "image, 28 steps with guidance, compiled": {
        "checkpointed": 0.0,
        "compile": True,
        "kind": "image",
    },
}
"""Attention is FlashAttention unless named (networks.editing.attention says why). Where a machine
has FlashAttention 3, it is the first thing to try beyond these.

The whole step reads, decodes and crops two PNG files of 1024 x 1024 in threads, encodes both by an
autoencoder of FLUX's size, and writes its row; text states are given, as from the cache. It also
says the seconds of the network alone in the same process, and the share of time spent waiting for
data."""


def build(config: Step1XConfig, device: torch.device) -> Step1XTransformer:
    """Random weights, bf16 on a GPU, made on the device."""
    # Cast before there is memory: 12 B in float32 would be the peak that is reported.
    with torch.device("meta"):
        model = Step1XTransformer(config).to(
            torch.bfloat16 if device.type == "cuda" else torch.float32
        )
    model = model.to_empty(device=device)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.02)
    return model


def wrap(model: Step1XTransformer, variant: dict[str, Any]) -> None:
    """Adapters, recomputation of the first share of the blocks, compilation, in place."""
    if variant.get("lora"):
        add_lora(model, variant["lora"], variant["lora"])
    # The connector's two blocks, of 640 tokens, are left as they are.
    places = [
        (blocks, i)
        for blocks, i in blocks_of(model)
        if blocks is not model.connector.S.individual_token_refiner.blocks
    ]
    for blocks, i in places[: round(variant["checkpointed"] * len(places))]:
        blocks[i] = Recompute(blocks[i], variant.get("selective", False))
    if variant.get("compile"):
        for blocks, i in places:
            blocks[i].compile()


def free_gradients(model: nn.Module) -> None:
    """Drop each gradient as soon as it is whole, as a fused optimizer step would."""

    def drop(parameter: torch.Tensor) -> None:
        parameter.grad = None

    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(drop)


def tflop(config: Step1XConfig, tokens: int) -> float:
    """Forward TFLOP of the transformer for one sample, attention included."""
    blocks = config.double_blocks + config.single_blocks
    return transformer_flops(config.width, blocks, tokens) / 1e12


def run(name: str, debug: bool, repeats: int, warm: int = 3) -> dict[str, Any]:
    """Measure one variant in this process."""
    variant = VARIANTS[name]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = Step1XConfig.debug() if debug else Step1XConfig()
    side = 16 if debug else 128  # of the latents
    target = (side // 2) ** 2
    text = 16 if debug else LENGTH
    torch.manual_seed(0)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    model = build(config, device)
    wrap(model, variant)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    freed = None
    if variant.get("step"):
        freed = FreedGradients(
            learning, Stage(optimizer=variant["step"], free_gradients="lagged", batch=1)
        )
    else:
        free_gradients(model)
    dtype = next(model.parameters()).dtype
    batch = {
        "noisy": torch.randn(1, target, config.channels, device=device, dtype=dtype),
        "reference": torch.randn(1, target, config.channels, device=device, dtype=dtype),
        "size": (side, side),
        "t": torch.tensor([0.5], device=device, dtype=dtype),
        "states": torch.randn(1, text, config.connector.text_width, device=device, dtype=dtype),
        "mask": torch.ones(1, text, dtype=torch.bool, device=device),
    }
    goal = torch.randn(1, target, config.channels, device=device, dtype=dtype)
    kind = variant.get("kind", "training")

    def backward() -> torch.Tensor:
        found = (model(**batch) - goal).float().square().mean()
        found.backward()
        return found.detach()

    def image() -> torch.Tensor:
        both = {
            k: torch.cat([v, v]) if isinstance(v, torch.Tensor) else v for k, v in batch.items()
        }
        latents = batch["noisy"].float()
        for now, after in pairwise(timesteps(28 if not debug else 2, target).tolist()):
            both["noisy"] = torch.cat([latents, latents]).to(dtype)
            both["t"] = torch.full((2,), now, device=device, dtype=dtype)
            conditional, unconditional = model(**both).float().chunk(2)
            latents = latents + (after - now) * guide(conditional, unconditional, now, 3.0)
        return latents.mean()

    def whole_step(around: Surroundings) -> torch.Tensor:
        nonlocal goal
        reference, clean = around.latents()
        noise = torch.randn_like(clean)
        batch["reference"] = reference.to(dtype)
        batch["noisy"] = (0.5 * clean + 0.5 * noise).to(dtype)
        goal = noise - clean
        loss = network_step()
        around.write(loss.item())
        return loss

    def network_step() -> torch.Tensor:
        return freed.step(backward, 1e-5)[0] if freed is not None else backward()

    def once() -> torch.Tensor:
        if around is not None:
            return whole_step(around)
        if kind == "training":
            return network_step()
        with torch.no_grad():
            return image() if kind == "image" else model(**batch).float().mean()

    def median(one: Callable[[], torch.Tensor], warm: int) -> tuple[float, torch.Tensor]:
        times = []
        for number in range(repeats + warm):
            if number == warm and around is not None:
                around.waited = 0.0
            if device.type == "cuda":
                torch.cuda.synchronize()
            began = time.perf_counter()
            with kernels(variant.get("attention", "flash"), device):
                loss = one()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
        return statistics.median(times[warm:]), loss

    around = (
        Surroundings(side * 8, config.channels, debug, device) if variant.get("whole") else None
    )
    seconds, loss = median(once, 1 if kind == "image" else warm)
    passes = {"training": 2 if variant.get("lora") else 3, "forward": 1, "image": 56}[kind]
    work = tflop(config, text + 2 * target) * passes
    row: dict[str, Any] = {
        "variant": name,
        "tokens": text + 2 * target,
        "seconds": round(seconds, 4),
        "tflop": round(work, 4),
        "finite": bool(torch.isfinite(loss)),
        "torch": torch.__version__,
    }
    if around is not None:
        waited = around.waited
        around.close()
        alone, _ = median(network_step, 1)
        row["network_seconds"] = round(alone, 4)
        row["beside_network"] = round(seconds / alone - 1, 4)
        row["data_wait"] = round(waited / repeats / seconds, 4)
    if device.type == "cuda":
        card = torch.cuda.get_device_name()
        row["device"] = card
        row["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 1)
        peak = next((value for key, value in PEAK_TFLOPS.items() if key in card), None)
        row["mfu"] = round(work / seconds / peak, 3) if peak else None
    return row


def run_here(names: Iterable[str], debug: bool, repeats: int, warm: int) -> None:
    """Measure variants in turn in this process; one that fails is a line of its own."""
    for name in names:
        try:
            row = run(name, debug, repeats, warm)
        except (RuntimeError, UserError) as error:  # out of memory is one
            row = {"variant": name, "failed": str(error)[:300]}
        print(json.dumps(row), flush=True)
        gc.collect()
        torch.compiler.reset()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def main() -> None:
    """Run all variants, or the one that --variant names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--debug", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warm", type=int, default=3, help="Steps before those that count.")
    parser.add_argument("--variant", choices=VARIANTS, nargs="+")
    parser.add_argument("--here", action="store_true", help="All variants in this process.")
    arguments = parser.parse_args()
    if not torch.cuda.is_available() and not arguments.debug:
        sys.exit("No CUDA device: run with --debug to test the script.")
    if arguments.variant or arguments.here:
        names = arguments.variant or VARIANTS
        run_here(names, arguments.debug, arguments.repeats, arguments.warm)
        return
    for name in VARIANTS:
        command = [sys.executable, "-m", "benchmarks.train_step1x_gpu", "--variant", name]
        command += ["--repeats", str(arguments.repeats), "--warm", str(arguments.warm)]
        command += ["--debug"] * arguments.debug
        done = subprocess.run(command, capture_output=True, text=True)
        lines = done.stdout.strip().splitlines()
        error = done.stderr.strip().splitlines()[-1:] or [""]
        print(lines[-1] if lines else json.dumps({"variant": name, "failed": error[0][:300]}))


if __name__ == "__main__":
    main()
