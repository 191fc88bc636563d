"""`skimage.morphology`: footprints, reconstruction, extremes, skeletons, hulls, labels.

May import: shared.
"""
