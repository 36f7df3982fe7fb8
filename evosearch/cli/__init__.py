"""The command line: what people type and what they see.

Reading order: `main` (the commands), `find` (what a PROGRAM or RUN on the command line means), `console`
(how text, tables and errors reach the terminal), then a module for each command; `live` draws a running
search.
"""
