"""From a raw dataset to packed images, labels, boxes and splits.

In comes an archive of `raw`; out go one array of grey squares, an index, the radiologists' boxes, and
who trains, validates and tests. May import `raw`, `files` and `base`; no torch.
"""
