"""Somebody else's pretrained networks, on the same test images as the recipes.

In come a block of `external` and packed images; out go probabilities of the findings that both
know. May import `model`, `files` and `base`.
"""
