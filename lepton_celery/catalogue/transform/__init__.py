"""`skimage.transform`: images of another size, warps, sums over corners.

May import: shared.
"""
