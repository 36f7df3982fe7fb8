"""The simplifier: from a raw program to one that a person would have written, each step named.

Reading order: `step` (what is reported of each step).
"""
