"""Where data comes from: Kaggle, NIH, ChestMNIST, a folder, or a place for the drawn cohort.

In come the blocks `datasets` of params.yaml; out go the place of the raw data, a download that goes
on where it was cut off, a zip or folder read by basename, and tar.gz and npz as streams. No image
is decoded. May import `files` and `base`; no torch.
"""
