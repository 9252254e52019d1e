"""The data stream, the two training stages, checkpoints."""
