"""What stages hand on, written whole or not at all and read back as checked.

In come tables, packed images, predictions, heatmaps, tensors and metrics; out go the same from disk,
or one line that names the file, the key and the stage that writes it. May import `base` alone; no
torch.
"""
