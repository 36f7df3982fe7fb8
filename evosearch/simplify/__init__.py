"""The simplifier: from a raw program to one that a person would have written, each step named.

Reading order: `step` (what is reported), `terms` (programs without names and order), `polynomial` and
`normal_form` (sums of products of powers), `rules` (the table of rewrite rules), `egraph` and `saturation`
(many spellings at once), `extraction` (the cheapest of them), `behaviour` (run before and after), `writing`
(back into a program, with names), `algebra` (all of this together), `stages` (the parts that people
choose), `recognition` (known optimizers). What needs training, ablation and the rounding of constants, is
in `evosearch.study`.
"""

from evosearch.simplify.recognition import Recognition, recognise
from evosearch.simplify.stages import known_as, simplify
from evosearch.simplify.step import PARTS, Exactness, Stage, Step

__all__ = ["PARTS", "Exactness", "Recognition", "Stage", "Step", "known_as", "recognise", "simplify"]
