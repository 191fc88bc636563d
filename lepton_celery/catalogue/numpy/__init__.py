"""NumPy's functions of lazy images: elementwise functions, rearrangements and reductions.

May import: shared. Imports are absolute, so `import numpy` in this folder imports the library.
"""
