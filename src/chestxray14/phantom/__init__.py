"""A cohort of radiographs that a program draws, laid out as NIH's is.

In comes a drawn dataset's block of params.yaml; out go PNGs, the label file, boxes and lists in a
folder. A patient is planned first, then drawn: body, pose, lesions, film. May import `raw` (its
params) and `base`.
"""
