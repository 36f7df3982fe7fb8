"""Evolution: the history of a search as a pure function of its rules and the outcomes it is told.

Reading order: `rules` (what a search is), `fitness` (what is known of a program's score), `population`,
`requests` (what a child is evaluated with), `engine` (ask for children, tell outcomes), `native` (the same in
machine code), `make` (which of the two).
"""

from evosearch.evolution.engine import Absorbed, Child, Engine
from evosearch.evolution.fitness import Known, Scale
from evosearch.evolution.make import AnyEngine, MakeEngine, make_engine, python_engine, without_machine_code
from evosearch.evolution.native.engine import NativeEngine, ToEvaluate
from evosearch.evolution.requests import Request
from evosearch.evolution.rules import METHODS, POLICIES, Budget, HurdleRules, Restarts, Rules, SeedRules

__all__ = [
    "METHODS",
    "POLICIES",
    "Absorbed",
    "AnyEngine",
    "Budget",
    "Child",
    "Engine",
    "HurdleRules",
    "Known",
    "MakeEngine",
    "NativeEngine",
    "Request",
    "Restarts",
    "Rules",
    "Scale",
    "SeedRules",
    "ToEvaluate",
    "make_engine",
    "python_engine",
    "without_machine_code",
]
