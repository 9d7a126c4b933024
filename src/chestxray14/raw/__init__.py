"""Where data comes from: Kaggle, a folder, or a place for the drawn cohort.

In come the blocks `datasets` of params.yaml; out go the place of the raw data, a download that goes
on where it was cut off, and a zip or folder read by basename. No image is decoded. May import
`files` and `base`; no torch.
"""
