"""The native interpreter: programs as data for machine code that is compiled once on each machine.

Reading order: `operations` (what instructions are made of), `code` (a program as instructions), `source` and
`kernel.c` (what runs them), `library` (compiled, cached, loaded), `interpreter` (called from a training).
"""
