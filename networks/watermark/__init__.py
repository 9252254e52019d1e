"""Marks over a photo: a small segmentation network of ours, trained on marks made by script."""
