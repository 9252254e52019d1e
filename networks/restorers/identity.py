"""The restorer that does nothing: the baseline that every model must beat."""

from collections.abc import Sequence

from catalog.degradations import Degradation
from catalog.images import Rgb
from networks.interfaces import Identity


class Unchanged:
    """Returns copies of its input; supports no degradation."""

    identity = Identity("identity", "v1")

    def supports(self, degradation: Degradation) -> bool:
        """Always False."""
        return False

    def restore(self, images: Sequence[Rgb], degradation: Degradation) -> list[Rgb]:
        """The images as they are."""
        return [image.copy() for image in images]
