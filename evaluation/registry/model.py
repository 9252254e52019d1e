"""Log a trained folder as an MLflow model: its code, its safetensors, signature and example."""

import hashlib
import shutil
import tempfile
from importlib.metadata import version as installed
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

import catalog
import networks
from catalog.errors import UserError
from catalog.images import encode_png

FILES = ("config.json", "model.safetensors")
REQUIREMENTS = ("mlflow", "numpy", "pandas", "pillow", "pydantic", "pyyaml", "safetensors", "torch")
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.binary, "image"), ColSpec(DataType.string, "degradation")]),
    outputs=Schema([ColSpec(DataType.binary, "image")]),
)


def weights_digest(model: Path) -> str:
    """SHA-256 over the model's two files. Raises `UserError` where one is missing."""
    digest = hashlib.sha256()
    for name in FILES:
        if not (model / name).is_file():
            raise UserError(
                f"There is no {name} in {model}.", "Run `dvc repro finetune`, then again."
            )
        with (model / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def example() -> pd.DataFrame:
    """A small grey gradient, to show the form of the input."""
    import numpy as np

    ramp = np.linspace(0, 255, 32).astype(np.uint8)
    image = np.repeat(np.repeat(ramp[None, :, None], 32, axis=0), 3, axis=2)
    return pd.DataFrame({"image": [encode_png(image)], "degradation": ["noise"]})


def log_model(model: Path, name: str = "model") -> str:
    """Log `model` in the active run; return its model URI.

    The code that loads it (catalog and networks, without weights of other networks) goes along, so
    that a version stays loadable when the project moves on.
    """
    with tempfile.TemporaryDirectory() as folder:
        code = [_code(Path(package.__path__[0]), Path(folder)) for package in (catalog, networks)]
        only = Path(folder) / "files"
        only.mkdir()
        for file in FILES:
            shutil.copyfile(model / file, only / file)
        info = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(Path(__file__).with_name("served.py")),
            artifacts={"model": str(only)},
            code_paths=[str(path) for path in code],
            signature=SIGNATURE,
            input_example=example(),
            pip_requirements=[f"{package}=={installed(package)}" for package in REQUIREMENTS],
        )
    return info.model_uri


def _code(package: Path, folder: Path) -> Path:
    target = folder / package.name
    shutil.copytree(
        package,
        target,
        ignore=lambda place, names: [
            name
            for name in names
            if name == "__pycache__" or (Path(place, name).is_file() and not name.endswith(".py"))
        ],
    )
    return target
