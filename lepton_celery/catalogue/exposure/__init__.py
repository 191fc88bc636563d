"""`skimage.exposure`: brightness, contrast, histograms.

May import: shared.
"""
