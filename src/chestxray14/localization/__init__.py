"""How well heatmaps find what radiologists boxed.

In come heatmaps of whole images, the radiologists' boxes and the network's probabilities; out go
the boxes that the heatmaps make, their scores beside two baselines, and overlays of a few. May
import `data`, `scoring`, `files` and `base`; no torch.
"""
