"""`skimage.measure`: labels, region tables, measurements of the whole image.

May import: shared.
"""
