"""The embedded judge: classical measures of an image, and two networks, under a learned head."""
