"""Many trainings at once on one device, programs still data; for accelerators.

Reading order: `schedule` (the instructions of many programs, merged), `interpreter` (which runs them),
`evaluator`.
"""
