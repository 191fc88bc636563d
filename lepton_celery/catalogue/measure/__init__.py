"""`skimage.measure`: labels, the region table, figures of a whole image.

May import: shared.
"""
