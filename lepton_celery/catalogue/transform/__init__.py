"""`skimage.transform`: resizing, pyramids, warps, integral images.

May import: shared.
"""
