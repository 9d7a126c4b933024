"""Somebody else's networks, asked about the same images as the recipes.

In come a block of `external` in params.yaml and the images of a part; out go the probabilities of
the findings that the network knows. Nothing is trained here. May import `model` and `base`.
"""
