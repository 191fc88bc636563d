"""`skimage.morphology`: erosion and dilation, reconstruction, extrema, skeletons, hulls, labels.

May import: shared.
"""
