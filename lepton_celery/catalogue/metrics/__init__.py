"""`skimage.metrics`: comparisons of two images or two segmentations.

May import: shared.
"""
