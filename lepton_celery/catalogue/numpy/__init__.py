"""The functions of NumPy that a lazy image takes: element by element, rearrangements, reductions.

May import: shared. `import numpy` inside this folder is the library; imports are absolute.
"""
