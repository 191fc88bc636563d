"""What the entries of several families build on: reach, extra axes, whole-image values, labels, sums.

May import: entries, geometry, arrays, promise and kernels; no family.
"""
