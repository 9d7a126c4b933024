"""Train, score and compare chest X-ray classifiers on NIH ChestX-ray14."""
