"""What every stage needs, whatever it does.

Here are the 14 findings, the strict reader of params.yaml, how a stage starts, ends and fails,
its progress, locks, random draws by key, and the AUROC. Nothing comes in but params.yaml. Imports
no other room; no torch.
"""
