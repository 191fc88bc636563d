"""`skimage.segmentation`: boundaries, watershed, floods, methods that need the whole image.

May import: shared.
"""
