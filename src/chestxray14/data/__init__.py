"""From raw files to packed images, labels, boxes and the parts of a split.

In come the bytes of label files, lists, box lists and images, and the blocks `splits` of
params.yaml; out go tables with a row an image, one uint8 array, and who trains, validates and
tests. May import `raw`, `files` and `base`; no torch.
"""
