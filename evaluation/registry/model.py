"""Log a trained folder as an MLflow model: its code, its safetensors, signature and example."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as installed
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import ColSpec, DataType, Schema

import catalog
import networks
from catalog.images import encode_png
from evaluation.registry.bundles import FOLDER, Bundle, put, requirements

SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.binary, "image"), ColSpec(DataType.string, "degradation")]),
    outputs=Schema([ColSpec(DataType.binary, "image")]),
)


def example() -> pd.DataFrame:
    """A small grey gradient, to show the form of the input."""
    import numpy as np

    ramp = np.linspace(0, 255, 32).astype(np.uint8)
    image = np.repeat(np.repeat(ramp[None, :, None], 32, axis=0), 3, axis=2)
    return pd.DataFrame({"image": [encode_png(image)], "degradation": ["noise"]})


def log_model(model: Bundle, kept: Path, title: str = "model") -> ModelInfo:
    """Log `model` in the active run. See `bundles.put`.

    The code that loads it (catalog and networks, without weights of other networks) goes along, so
    that a version stays loadable when the project moves on.
    """
    with tempfile.TemporaryDirectory() as folder, _no_bytecode():
        code = [_code(Path(package.__path__[0]), Path(folder)) for package in (catalog, networks)]
        only = Path(folder) / FOLDER
        only.mkdir()
        put(model, only, kept)
        return mlflow.pyfunc.log_model(
            name=title,
            python_model=str(Path(__file__).with_name("served.py")),
            artifacts={"model": str(only)},
            code_paths=[str(path) for path in code],
            signature=SIGNATURE,
            # MLflow runs the example at once: not for a model of many gigabytes.
            input_example=example() if model.kind == "student" else None,
            model_config={"options": ""},
            pip_requirements=[
                f"{package}=={installed(package)}" for package in requirements(model)
            ],
        )


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """MLflow loads the code from the folder that it then logs: without this, caches go along."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


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
