"""The drawn cohort: radiographs of nobody, in the layout of ChestX-ray14.

In comes a dataset of params.yaml with `source: phantom`; out goes a folder of PNGs, labels, boxes
and lists, the same bytes every time. It proves machinery, nothing medical. May import `raw` (its
params), `files` and `base`.
"""
