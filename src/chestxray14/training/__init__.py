"""Fit a network to a recipe, so that a run that was killed ends in the same bytes.

In come a recipe and two parts of a split, train and val; out go the weights of the best epoch and
what each epoch reached. Until then the state lies in a checkpoint, keyed by all that the weights
depend on. May import `model`, `files` and `base`.
"""
