"""What every face calls: submit a graph, follow the job, cancel it, resume it, report on it, or compute it here.

May import: engines and below. Faces (`cli`, `skimage`, web frameworks) and tools import this.
"""
