"""Code that the entries of several families use: halos, axes, whole-image values, labels, sums.

May import: entries, geometry, arrays, promise and kernels; no family.
"""
