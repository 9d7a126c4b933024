"""What every stage needs: errors, findings, params, draws, locks, progress, the way a stage runs.

In comes params.yaml, block by block; out go checked blocks, one line for a user's mistake, and
draws that depend on their key alone. It is small and changes rarely: every stage depends on it. May
import no other room; no torch.
"""
