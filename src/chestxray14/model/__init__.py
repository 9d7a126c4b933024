"""Networks: what a recipe is, what a network sees of an image, and what it says.

In come a recipe of params.yaml, packed images with their labels, and pretrained weights or a
trained model's file; out go logits, coarse heatmaps and the model's file. How a network is fitted
is in `training`. May import `files` and `base`.
"""
