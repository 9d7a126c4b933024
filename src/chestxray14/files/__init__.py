"""What stages hand on to one another: how each file is written, and read back checked.

In come tables, arrays and records, or a file by the stage that writes it; out goes the file, whole
or not at all, or what is in it. Packed images, predictions, heatmaps and metrics have their forms
here. May import `base`; no torch.
"""
