"""`skimage.filters`: smoothing, edges, ridges, thresholds; rank filters in `rank`.

May import: shared.
"""
