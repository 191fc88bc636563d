"""`scipy.ndimage`: filters, morphology, labels, distances.

May import: shared.
"""
