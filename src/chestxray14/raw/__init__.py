"""Where data comes from: Kaggle, a folder or a zip, and where it lies.

In comes a dataset of params.yaml; out goes an archive whose radiographs, tables and lists are known
by basename. May import `files` and `base`.
"""
