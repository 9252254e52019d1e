"""Seconds a training sample of Step1X-Edit's network on one GPU, with random weights.

    python -m benchmarks.train_step1x_gpu            # 1024 x 1024, 8,832 tokens, 12.43 B
    python -m benchmarks.train_step1x_gpu --debug    # the same code at a tiny size, CPU or GPU

Each variant runs in a process of its own (an attention kernel that dies takes no other with it) and
prints a line of JSON: seconds a sample (median), peak memory, share of the bf16 peak. The
alternative in the same run is diffusers' own transformer, eager and compiled, every block
checkpointed.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn.attention import SDPBackend, sdpa_kernel

from networks.step1x.config import Step1XConfig
from networks.step1x.model import Step1XTransformer
from networks.step1x.text import LENGTH

PEAK_TFLOPS = {"H100": 989.4, "H200": 989.4, "A100": 312.0}

VARIANTS: dict[str, dict[str, Any]] = {
    "diffusers eager, all checkpointed": {"checkpointed": 1.0},
    "diffusers compiled, all checkpointed": {"checkpointed": 1.0, "compile": True},
    "cudnn attention, compiled, all checkpointed": {
        "checkpointed": 1.0,
        "compile": True,
        "attention": "CUDNN_ATTENTION",
    },
    "compiled, half checkpointed": {"checkpointed": 0.5, "compile": True},
    "compiled, none checkpointed": {"checkpointed": 0.0, "compile": True},
    "LoRA 64, compiled, half checkpointed": {"checkpointed": 0.5, "compile": True, "lora": 64},
    "forward, compiled": {"checkpointed": 0.0, "compile": True, "forward": True},
}
"""Attention is FlashAttention 2 unless named: the default kernel died at this length."""


def build(config: Step1XConfig, device: torch.device) -> Step1XTransformer:
    """Random weights, bf16 on a GPU, made on the device."""
    with torch.device("meta"):
        model = Step1XTransformer(config)
    model = model.to_empty(device=device).to(
        torch.bfloat16 if device.type == "cuda" else torch.float32
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.02)
    return model


def wrap(model: Step1XTransformer, variant: dict[str, Any]) -> None:
    """Adapters, checkpointing of the first share of the blocks, compilation, in place."""
    transformer: Any = model.transformer
    if variant.get("lora"):
        from peft import LoraConfig

        model.requires_grad_(False)
        transformer.add_adapter(
            LoraConfig(
                r=variant["lora"],
                lora_alpha=variant["lora"],
                target_modules=["to_q", "to_k", "to_v", "to_out.0", "proj_mlp", "proj_out"],
            )
        )
    lists = [transformer.transformer_blocks, transformer.single_transformer_blocks]
    places = [(blocks, i) for blocks in lists for i in range(len(blocks))]
    for blocks, i in places[: round(variant["checkpointed"] * len(places))]:
        blocks[i] = checkpoint_wrapper(blocks[i])
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
    """Forward TFLOP of the transformer for one sample (2 a multiply-add), attention included."""
    width = config.width
    linear = 12 * width * width  # q, k, v, out: 4; MLP x4 in and out: 8
    blocks = config.double_blocks + config.single_blocks
    return 2 * tokens * blocks * (linear + 2 * tokens * width) / 1e12


def run(name: str, debug: bool, repeats: int) -> dict[str, Any]:
    """Measure one variant in this process."""
    variant = VARIANTS[name]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = Step1XConfig.debug() if debug else Step1XConfig()
    side = 16 if debug else 128  # of the latents
    target = (side // 2) ** 2
    text = 16 if debug else LENGTH
    torch.manual_seed(0)
    model = build(config, device)
    wrap(model, variant)
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
    kernel = variant.get("attention", "FLASH_ATTENTION")
    attention = (
        sdpa_kernel([SDPBackend[kernel], SDPBackend.MATH])
        if device.type == "cuda"
        else nullcontext()
    )
    times = []
    for _ in range(repeats + 3):
        if device.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        with attention, torch.set_grad_enabled(not variant.get("forward")):
            loss = (model(**batch) - goal).float().square().mean()
            if not variant.get("forward"):
                loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    seconds = statistics.median(times[3:])
    work = tflop(config, text + 2 * target) * (1 if variant.get("forward") else 3)
    row: dict[str, Any] = {
        "variant": name,
        "tokens": text + 2 * target,
        "seconds": round(seconds, 4),
        "tflop": round(work, 4),
        "finite": bool(torch.isfinite(loss)),
        "torch": torch.__version__,
    }
    if device.type == "cuda":
        card = torch.cuda.get_device_name()
        row["device"] = card
        row["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 1)
        peak = next((value for key, value in PEAK_TFLOPS.items() if key in card), None)
        row["mfu"] = round(work / seconds / peak, 3) if peak else None
    return row


def main() -> None:
    """Run all variants, or the one that --variant names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--debug", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--variant", choices=VARIANTS)
    arguments = parser.parse_args()
    if arguments.variant:
        print(json.dumps(run(arguments.variant, arguments.debug, arguments.repeats)), flush=True)
        return
    if not torch.cuda.is_available() and not arguments.debug:
        sys.exit("No CUDA device: run with --debug to test the script.")
    for name in VARIANTS:
        command = [sys.executable, "-m", "benchmarks.train_step1x_gpu", "--variant", name]
        command += ["--repeats", str(arguments.repeats)] + ["--debug"] * arguments.debug
        done = subprocess.run(command, capture_output=True, text=True)
        lines = done.stdout.strip().splitlines()
        error = done.stderr.strip().splitlines()[-1:] or [""]
        print(lines[-1] if lines else json.dumps({"variant": name, "failed": error[0][:300]}))


if __name__ == "__main__":
    main()
