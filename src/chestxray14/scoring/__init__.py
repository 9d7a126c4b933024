"""How good predictions are, without a look at the network or a pixel.

In come probabilities, labels and patients; out go AUROC and its kin with intervals by whole
patients, calibration, decisions at thresholds, curves, subgroups, and what metadata alone reach.
May import `files` and `base`; no torch.
"""
