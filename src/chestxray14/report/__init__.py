"""One report of everything that ran, beside what was published.

In come the records of the stages, examples and overlays, and the tables in data/published; out go
one Markdown text and one HTML page that needs no other file. Nothing is scored here that a stage
has scored. May import `localization`, `data`, `model` (its recipes), `scoring`, `files` and `base`;
no torch.
"""
