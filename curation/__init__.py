"""From collected images to a versioned dataset of pairs, one file or folder a stage."""
