"""Evolution: the history of a search as a pure function of its rules and the outcomes it is told.

Reading order: `rules` (what a search is), `fitness` (what is known of a program's score), `population`,
`engine` (ask for children, tell outcomes).
"""

from evosearch.evolution.engine import Absorbed, Child, Engine, Request
from evosearch.evolution.fitness import Known, Scale
from evosearch.evolution.rules import METHODS, POLICIES, Budget, HurdleRules, Restarts, Rules, SeedRules

__all__ = [
    "METHODS",
    "POLICIES",
    "Absorbed",
    "Budget",
    "Child",
    "Engine",
    "HurdleRules",
    "Known",
    "Request",
    "Restarts",
    "Rules",
    "Scale",
    "SeedRules",
]
