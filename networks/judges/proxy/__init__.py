"""The embedded judge: classical measures of an image under a small learned head."""
