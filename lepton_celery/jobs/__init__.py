"""Jobs: submitted to workers or run here, followed, cancelled, resumed and reported on.

Faces (`cli`, `skimage`, web frameworks) and tools import this folder; it imports engines and what lies below.
"""
