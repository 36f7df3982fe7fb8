"""The program language: values, text, abstract execution, mutation.

Reading order: `program` (what a program is), `parse` (from text), `abstract` (validity, types, live
statements, canonical hash), `fingerprint` (behavioural hash), `probes` (what it runs programs on), `native`
(the same in machine code), `mutation`, `vocabulary`, `packing` (programs as bytes), `library` (the shipped
reference programs).
"""

from evosearch.language.abstract import AbstractExecution, Analysis, Judged, Refusal, analyze
from evosearch.language.library import builtin, builtin_names
from evosearch.language.parse import parse, read_program
from evosearch.language.program import Constant, Program, Statement, program_text

__all__ = [
    "AbstractExecution",
    "Analysis",
    "Constant",
    "Judged",
    "Program",
    "Refusal",
    "Statement",
    "analyze",
    "builtin",
    "builtin_names",
    "parse",
    "program_text",
    "read_program",
]
