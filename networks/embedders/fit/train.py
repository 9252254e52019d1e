"""Contrastive training of the embedder; continues where it was stopped."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from catalog.degradations import CLEAN_PROMPT, WORDING, Degradation
from catalog.files import atomic_file
from catalog.log import logger
from networks.embedders.fit import pictures, views
from networks.embedders.mendline_clip import CONFIG, build_model
from networks.fitting.state import State

log = logger(__name__)

PROMPTS = (*(WORDING[task].clip_prompt for task in Degradation), CLEAN_PROMPT)


@dataclass(frozen=True)
class Plan:
    """What decides the result, beside the squares."""

    seed: int = 0
    steps: int = 3000
    pairs: int = 64
    """Pairs of views a step; half of them come in twos from one picture, hard to tell apart."""
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    warmup: int = 100
    prompt_weight: float = 0.3
    """Of the loss that aligns degraded views with their prompts, beside the contrastive one."""


class Batches(IterableDataset):
    """Batches from step `first` on; each depends on the seed and its step alone."""

    def __init__(self, folder: Path, plan: Plan, first: int) -> None:
        self.folder, self.plan, self.first = folder, plan, first

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Views (2, pairs, 3, side, side) uint8 and labels (2, pairs) int64."""
        squares = pictures.load(self.folder)
        rows = np.flatnonzero(~squares.held_out)
        of_picture = [rows[squares.picture[rows] == p] for p in np.unique(squares.picture[rows])]
        for step in range(self.first, self.plan.steps):
            rng = np.random.default_rng([self.plan.seed, step])
            chosen = np.concatenate(
                [
                    rng.choice(of_picture[p], min(2, len(of_picture[p])), replace=False)
                    for p in rng.permutation(len(of_picture))[: self.plan.pairs]
                ]
            )[: self.plan.pairs]
            made = [[views.view(squares, int(row), rng) for row in chosen] for _ in range(2)]
            images = np.stack([np.stack([image for image, _ in side]) for side in made])
            labels = np.array([[label for _, label in side] for side in made])
            yield torch.from_numpy(images).permute(0, 1, 4, 2, 3), torch.from_numpy(labels)


def normalise(images: Tensor) -> Tensor:
    """(n, 3, side, side) uint8 to float32 with open_clip's mean and deviation."""
    mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN, device=images.device)[:, None, None]
    deviation = torch.tensor(open_clip.OPENAI_DATASET_STD, device=images.device)[:, None, None]
    scaled = (images.float() / 255 - mean) / deviation
    return scaled.contiguous(memory_format=torch.channels_last)


def contrastive(vectors: Tensor, scale: Tensor) -> Tensor:
    """NT-Xent (arXiv 2002.05709) of (2 n, width) unit vectors, row i with row i + n."""
    count = len(vectors) // 2
    logits = scale * vectors @ vectors.T
    logits = logits.masked_fill(
        torch.eye(2 * count, dtype=torch.bool, device=logits.device), -torch.inf
    )
    target = torch.arange(2 * count, device=logits.device).roll(count)
    return functional.cross_entropy(logits, target)


def train(folder: Path, out: Path, plan: Plan) -> None:
    """Train on the squares of `folder`; write the weights (float16) to `out` when done."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(plan.seed)
    model: Any = build_model(plan.seed).to(device).to(memory_format=torch.channels_last)
    model.train()
    tokens = open_clip.get_tokenizer(CONFIG.stem)(list(PROMPTS)).to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=plan.learning_rate,
        weight_decay=plan.weight_decay,
        betas=(0.9, 0.98),
        fused=True,
    )
    state = State(out.with_suffix(".state.pt"), model=model, optimizer=optimizer)
    first = state.load()
    loader = DataLoader(
        Batches(folder, plan, first),
        batch_size=None,
        num_workers=1,
        prefetch_factor=4,
        multiprocessing_context="spawn",
    )
    running = torch.zeros(2)
    for step, (images, labels) in enumerate(loader, start=first + 1):
        with torch.autocast(device.type, torch.bfloat16):
            vectors = model.encode_image(normalise(images.flatten(0, 1).to(device)))
            texts = model.encode_text(tokens)
        vectors = functional.normalize(vectors.float(), dim=-1)
        texts = functional.normalize(texts.float(), dim=-1)
        scale = model.logit_scale.exp().clamp(max=50)
        first_loss = contrastive(vectors, scale)
        second_loss = functional.cross_entropy(
            20 * vectors @ texts.T, labels.flatten().to(device), ignore_index=-1
        )
        optimizer.zero_grad(set_to_none=True)
        (first_loss + plan.prompt_weight * second_loss).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = learning_rate(plan, step)
        optimizer.step()
        running += torch.tensor([first_loss.item(), second_loss.item()])
        if step % 50 == 0:
            contrast, prompt = (running / 50).tolist()
            log.info("step", step=step, of=plan.steps, contrast=contrast, prompt=prompt)
            running.zero_()
        if step % 100 == 0 or step == plan.steps:
            state.save(step)
    with atomic_file(out) as temporary:
        save_file(
            {
                n: w.half().contiguous() if w.is_floating_point() else w.contiguous()
                for n, w in model.cpu().state_dict().items()
            },
            temporary,
        )


def learning_rate(plan: Plan, step: int) -> float:
    """Of `step` (from 1): linear warm-up, then a cosine to 0 at `plan.steps`."""
    rising = min(1.0, step / plan.warmup)
    done = max(0, step - plan.warmup) / max(1, plan.steps - plan.warmup)
    return plan.learning_rate * rising * 0.5 * (1 + math.cos(math.pi * done))
