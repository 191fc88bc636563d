"""Jobs, submitted or run here, followed, cancelled and resumed.

Faces (`cli`, `skimage`, web frameworks) and tools import this folder; it imports engines and what lies below.
"""
