"""The engine in machine code: the same history as `evolution.engine`, several times as fast.

Reading order: `tables` (what `breeder.c` is told), `breeder.c` (what it does),
`engine` (what is left to Python: scores, requests, leaders, the ends of runs).
"""
