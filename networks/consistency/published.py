"""What LPIPS with AlexNet is: the hashes of its two weight files, as published.

The backbone is torchvision's `AlexNet_Weights.IMAGENET1K_V1`, whose file is named after the first
eight digits of its SHA-256 (alexnet-owt-7be5be79.pth); the heads are weights/v0.1/alex.pth of the
package lpips 0.1.4.
"""

import hashlib

from networks.interfaces import Identity

BACKBONE_SHA256 = "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"
HEADS_SHA256 = "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"


def weights_of(*digests: str) -> str:
    """One SHA-256 over those of several files."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


LPIPS_IDENTITY = Identity("lpips-alexnet", "0.1", weights_of(BACKBONE_SHA256, HEADS_SHA256))
"""Scores may be called FS only with this distance."""
