"""A training stage: dataset and first weights in, the best model out."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from catalog import schemas
from catalog.degradations import WORDING, Degradation
from catalog.errors import UserError
from catalog.files import atomic_folder
from catalog.images import VERSION as DECODER
from catalog.layout import Layout
from catalog.log import logger
from catalog.settings.training import Architecture, Network, Stage, Student
from catalog.shards import ShardStore
from catalog.stage import Counts
from catalog.tables import read_table
from networks.editing import lora
from networks.student import STARTER
from networks.student.files import (
    WEIGHTS,
    load_weights,
    read_architecture,
    weights_hash,
)
from networks.student.model import INSTRUCTIONS, StudentDiT
from training.augment import web_style
from training.batches import BatchMaker
from training.checkpoint import Progress
from training.draws import Draws, Pair
from training.editing import EditorTrainable
from training.encoded import EncodedCache
from training.fresh import fresh, versions
from training.images import PairImages
from training.loop import Trainer
from training.optimizer import freeze
from training.parallel import World, world
from training.scoring import Scorer, make_scorer
from training.settings_check import require_whole_patches, warn_of_times
from training.trainable import StudentTrainable, Trainable
from training.validation import Validator

STAGES = ("transfer", "finetune")
_ROOMS = Path(__file__).parents[1]
_CODE = ("training", "networks/student", "networks/tiling.py", "networks/scoring.py")
_EDITING_CODE = ("networks/editing", "networks/step1x")
_DEGRADING_CODE = ("networks/degraders",)


@dataclass(frozen=True)
class Inputs:
    """The paths that a training stage reads."""

    dataset: Path
    """Folder with pairs.parquet (schemas.DATASET)."""
    shards: tuple[Path, ...]
    """Folders with shards that hold all images of the dataset."""
    first: Path | None
    """Model folder to start from; None for `Student.init`."""

    @classmethod
    def of(cls, layout: Layout, name: str) -> "Inputs":
        """Those of stage `name` in a work tree."""
        return cls(
            layout.dataset,
            (layout.raw, layout.targets, layout.synthetic),
            layout.transfer if name == "finetune" else None,
        )


def read_pairs(dataset: Path) -> dict[str, list[Pair]]:
    """The dataset's pairs by split. Raises `UserError`."""
    table = read_table(dataset / "pairs.parquet", schemas.DATASET)
    splits: dict[str, list[Pair]] = {"train": [], "validation": []}
    for row in table.to_pylist():
        splits[row["split"]].append(
            Pair(
                row["pair_id"],
                row["degraded_id"],
                row["clean_id"],
                Degradation(row["degradation"]),
                row["origin"],
            )
        )
    return splits


def architecture_of(student: Student) -> Architecture:
    """The part of the settings that is the model's."""
    return Architecture(**{name: getattr(student, name) for name in Architecture.model_fields})


def first_folder(student: Student, first: Path | None) -> Path | None:
    """The folder of the first weights, None for random ones. Raises `UserError`."""
    folder = first or (STARTER if student.init == "starter" else None)
    if folder is None:
        return None
    found, wanted = read_architecture(folder), architecture_of(student)
    # How a model is sampled may change; its weights' shapes may not.
    free = {"sampling_steps", "tile", "overlap"}
    differing = [
        f"{name} {getattr(found, name)} instead of {getattr(wanted, name)}"
        for name in Architecture.model_fields
        if name not in free and getattr(found, name) != getattr(wanted, name)
    ]
    if differing:
        raise UserError(
            f"The model {folder.name} to start from has {', '.join(differing)}.",
            "Give the section `student` of params.yaml the values of its config.json"
            + ("." if first else ", or set student.init to scratch."),
        )
    return folder


def build_model(student: Student, stage: Stage, first: Path | None) -> StudentDiT:
    """The network with its first weights and the frozen parameters. Raises `UserError`."""
    folder = first_folder(student, first)
    torch.manual_seed(stage.seed)
    model = StudentDiT(architecture_of(student))
    if folder is not None:
        load_weights(model, folder / WEIGHTS)
    freeze(model, stage.freeze)
    return model


def make_draws(pairs: dict[str, list[Pair]], stage: Stage) -> Draws:
    """The order of the training pairs. Raises `UserError` where a missing task is an error."""
    draws = Draws(pairs["train"], stage.synthetic, stage.real, stage.seed)
    if draws.missing and stage.missing_task == "error":
        raise UserError(
            f"The dataset has no training pair for {', '.join(draws.missing)}.",
            "Collect or synthesize some, or set missing_task to report in params.yaml.",
        )
    if draws.missing:
        logger(__name__).warning("tasks without pairs", tasks=[str(t) for t in draws.missing])
    return draws


def run_key(parts: dict[str, Any], stage: Stage, inputs: Inputs, rooms: tuple[str, ...]) -> str:
    """Hash of everything that the result depends on: settings, data, first weights, code."""
    if stage.fresh or stage.web_style:
        rooms += _DEGRADING_CODE
    code = hashlib.sha256()
    for room in rooms:
        place = _ROOMS / room
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            code.update(path.read_bytes())
    parts = {
        **parts,
        "stage": stage.model_dump(mode="json", exclude=set(_NO_RESULT)),
        "degraders": versions() if stage.fresh else None,
        "dataset": hashlib.sha256((inputs.dataset / "pairs.parquet").read_bytes()).hexdigest(),
        "code": code.hexdigest(),
        "decoder": DECODER,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


_NO_RESULT = ("keep_checkpoints", "encoded_cache_mib", "workers", "cache_mib")
"""Settings of a stage that its result does not depend on."""


@dataclass(frozen=True)
class Start:
    """What a stage starts from."""

    trainable: Trainable
    key: str
    """Of the run; its state is kept under this name."""
    multiple: int
    """Sides of buckets are multiples of it."""


def start(
    inputs: Inputs,
    student: Student,
    stage: Stage,
    network: Network,
    scratch: Path,
    processes: int = 1,
) -> Start:
    """The network with its first weights, its frozen parts and adapters. Raises `UserError`."""
    if inputs.first is not None and not inputs.first.is_dir():
        raise UserError(
            f"{inputs.first}, the model to start from, is not there.",
            f"`dvc repro {inputs.first.name}` trains it; `dvc checkout` brings back one that was.",
        )
    if network.family == "student":
        if stage.lora_rank:
            raise UserError(
                "lora_rank is for editing models; the student's few weights all learn.",
                "Set lora_rank to 0, or name an editing model in section `network`.",
            )
        folder = first_folder(student, inputs.first)
        parts: dict[str, Any] = {
            "student": student.model_dump(mode="json"),
            "first": weights_hash(folder) if folder else None,
        }
        model = build_model(student, stage, inputs.first)
        return Start(
            StudentTrainable(model), run_key(parts, stage, inputs, _CODE), model.architecture.patch
        )
    from training.first import first_editor

    editor, weights = first_editor(network, inputs.first, stage)
    if not stage.lora_rank:
        freeze(editor.network, stage.freeze)
    adapted = inputs.first is not None and (inputs.first / lora.CONFIG).is_file()
    parts = {
        "network": network.model_dump(mode="json", exclude={"folder", "offload"}),
        "first": editor.identity_hash(),
        "instructions": [WORDING[task].instruction_en for task in INSTRUCTIONS],
        "adapters": lora.adapter_hash(inputs.first) if inputs.first and adapted else None,
    }
    cache = EncodedCache(scratch / "encoded", stage.encoded_cache_mib * 2**20, processes)
    return Start(
        EditorTrainable(editor, weights, stage.lora_rank, cache, stage.shapes == "crop"),
        run_key(parts, stage, inputs, _CODE + _EDITING_CODE),
        editor.multiple,
    )


def train_stage(
    name: str,
    inputs: Inputs,
    output: Path,
    scratch: Path,
    student: Student,
    stage: Stage,
    network: Network | None = None,
) -> Counts:
    """Train stage `name` and write the best model and its logs to the folder `output`.

    `output` gets the model's own files, training.jsonl and validation.jsonl. Unfinished work is
    below `scratch`; the same call goes on from there, and one that ends removes what those of other
    settings, data or code left unfinished, so the caller holds the stage's lock
    (`catalog.stage.alone`). Under torchrun every process makes the same call, and the first one
    writes.
    """
    with world() as group:
        return _train(inputs, output, scratch, student, stage, network or Network(), group)


def _train(
    inputs: Inputs,
    output: Path,
    scratch: Path,
    student: Student,
    stage: Stage,
    network: Network,
    group: World,
) -> Counts:
    if stage.batch % group.size:
        raise UserError(
            f"A batch of {stage.batch} cannot be shared equally by {group.size} processes.",
            "Set batch to a multiple of the number of processes.",
        )
    require_whole_patches(student, stage, network)
    if group.first:
        warn_of_times(student, stage, network)
    pairs = read_pairs(inputs.dataset)
    draws = make_draws(pairs, stage)
    images = PairImages(ShardStore(*inputs.shards), stage.cache_mib * 2**20)
    images.check(pairs["train"] + pairs["validation"])
    scorer = make_scorer(stage, pairs["validation"], images, scratch, group)
    begun = start(inputs, student, stage, network, scratch, group.size)
    trainable = begun.trainable
    frozen = sum(p.numel() for p in trainable.module.parameters() if not p.requires_grad)
    parameters = sum(p.numel() for p in trainable.module.parameters())
    shape, multiple = trainable.noise_shape, begun.multiple
    trainer = Trainer(
        trainable,
        BatchMaker(
            draws,
            images,
            stage,
            web_style(stage),
            shape,
            multiple,
            fresh(stage, pairs["train"], images),
        ),
        Validator(pairs["validation"], images, stage, shape, multiple),
        stage,
        scratch / _with_scorer(begun.key, scorer),
        scratch / "throughput.jsonl",
        group,
        scorer,
    )
    progress = trainer.run()
    if group.first:
        _finish(trainer, output, progress)
    group.barrier()
    return _counts(pairs, draws, stage, progress, parameters, frozen)


def _with_scorer(key: str, scorer: Scorer | None) -> str:
    """`key`, which another judge makes another one: what is best may hang on its answers."""
    if scorer is None:
        return key
    parts = (key, scorer.judge.identity.digest, scorer.consistency.identity.digest)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _finish(trainer: Trainer, output: Path, progress: Progress) -> None:
    with atomic_folder(output) as folder:
        shutil.copytree(trainer.best, folder, dirs_exist_ok=True, copy_function=_link_or_copy)
        _write_rows(folder / "training.jsonl", progress.log)
        _write_rows(folder / "validation.jsonl", progress.validations)
    trainer.finish()


_LARGE = 64 * 2**20
"""Bytes of a file from which on the stage's output and its scratch folder share one on the disk."""


def _link_or_copy(source: str, target: str) -> None:
    if Path(source).stat().st_size >= _LARGE:
        try:
            os.link(source, target)
            return
        except OSError:  # another file system, or one without hard links
            pass
    shutil.copy2(source, target)


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def _counts(
    pairs: dict[str, list[Pair]],
    draws: Draws,
    stage: Stage,
    progress: Progress,
    parameters: int,
    frozen: int,
) -> Counts:
    used = sum(len(pool) for pool in draws.pools.values())
    counts = Counts(rows_in=len(pairs["train"]), rows_out=used)
    if used < len(pairs["train"]):
        counts.dropped["origin-has-no-share"] = len(pairs["train"]) - used
    best = next(row for row in progress.validations if row["step"] == progress.best_step)
    counts.extra = {
        "steps": progress.step,
        "samples": draws.counts(progress.step * stage.batch),
        "missing_tasks": [str(task) for task in draws.missing],
        "validation_pairs": len(pairs["validation"]),
        "parameters": parameters,
        "frozen_parameters": frozen,
        "loss": progress.log[-1]["loss"] if progress.log else None,
        "best": best,
    }
    return counts
