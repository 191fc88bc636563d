"""`skimage.feature`: derivatives, corners, peaks, blobs, textures, descriptors.

May import: shared.
"""
