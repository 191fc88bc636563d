"""The product's own proof: a function of the catalogue against scikit-image on the whole image, on random images.

`prove` is `lepton.prove`. May import: jobs and below.
"""
