"""The model as MLflow loads and serves it: code, safetensors, no pickle.

MLflow runs this file (models from code). Input: one row an image, with columns `image` (bytes of a
PNG, JPEG or WebP; base64 in JSON) and `degradation` (one of the nine). Output: column `image`,
PNG bytes of the same size. A large model takes options
(`mlflow.pyfunc.load_model(URI, model_config={"options": "steps=8"})`), see networks.restorers. What
a caller can mend is answered with status 400 and words.
"""

import base64
import binascii
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel


class RestorationModel(PythonModel):
    """Restores images of any size."""

    def load_context(self, context: Any) -> None:
        """Read the model; `options` of the model's configuration, such as "steps=8&side=768"."""
        from networks.restorers import load_restorer

        place = context.artifacts["model"]
        options = (context.model_config or {}).get("options", "")
        self.restorer = load_restorer(f"{place}?{options}" if options else place)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One restored image a row."""
        rows = [
            self._one(index, image, degradation)
            for index, (image, degradation) in enumerate(
                zip(model_input["image"], model_input["degradation"], strict=True)
            )
        ]
        return pd.DataFrame({"image": rows})

    def _one(self, index: int, data: Any, name: Any) -> bytes:
        from catalog.degradations import Degradation
        from catalog.errors import UserError
        from catalog.images import decode, encode_png

        try:
            degradation = Degradation(str(name))
        except ValueError as error:
            known = ", ".join(Degradation)
            raise _bad(f"Row {index}: {name!r} is no degradation. Known are {known}.") from error
        try:
            image = decode(_bytes(data))
            return encode_png(self.restorer.restore([image], degradation)[0])
        except UserError as error:
            raise _bad(f"Row {index}: {error.what}") from error
        except binascii.Error as error:
            raise _bad(f"Row {index}: the image is not base64: {error}.") from error


def _bytes(data: Any) -> bytes:
    return base64.b64decode(data, validate=True) if isinstance(data, str) else bytes(data)


def _bad(message: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(message)


mlflow.models.set_model(RestorationModel())
