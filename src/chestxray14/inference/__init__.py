"""A trained network asked about one's own radiographs, or taken elsewhere.

In come PNG, JPEG and DICOM files and what the stages left of a recipe: its model, its views, its
thresholds and calibration; out go answers on the command line, overlays and ONNX files. May import
`localization`, `data`, `raw`, `model`, `scoring`, `files` and `base`.
"""
