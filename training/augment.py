"""Web-style degradation on the fly."""

from catalog.settings.training import Stage
from training.batches import WebStyle


def web_style(stage: Stage) -> WebStyle | None:
    """The web-style chain of the degraders at the stage's strength; None where its share is 0."""
    if not stage.web_style:
        return None
    from networks.degraders.web_style import WebStyle as Chain

    chain = Chain(strength=stage.web_style_strength)
    if stage.degrade_device is None:
        return chain.augment
    from networks.degraders.tensors import TensorWebStyle

    return TensorWebStyle(chain, stage.degrade_device).augment
