"""What is compared, and how it is told: one page and one short text from what the stages wrote.

In come metrics, draws, predictions and published numbers; out go Markdown and HTML. Numbers are read
and checked in `records`, compared in `ranking`, drawn in `figures` and told in templates/.
May import base, files, model, scoring and localization; no torch.
"""
