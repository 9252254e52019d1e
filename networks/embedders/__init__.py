"""Images and texts to unit vectors, by name."""

from networks.interfaces import Embedder
from networks.names import unknown

NAMES = ("mendline-clip",)

OPEN_CLIP = "open_clip:"
"""`open_clip:MODEL:TAG`, TAG a pretrained tag of open_clip or the path of a safetensors file."""


def load_embedder(name: str) -> Embedder:
    """Load the embedder called `name`: one of `NAMES`, or `open_clip:MODEL:TAG`.

    Raises `UserError` for another name, and for weights that are not there.
    """
    if name == "mendline-clip":
        from networks.embedders.mendline_clip import load_mendline_clip

        return load_mendline_clip()
    if name.startswith(OPEN_CLIP):
        from networks.embedders.open_clip import load_open_clip

        return load_open_clip(name)
    raise unknown("embedder", name, NAMES, also=", or open_clip:MODEL:TAG")
