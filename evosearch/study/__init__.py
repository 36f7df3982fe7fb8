"""Studies: many trainings, to tune optimizers and to compare them.

Reading order: `statistics` (means, intervals, paired differences); `surrogate` and `tuning` (the one tuner,
pure logic); `tunable` (what can be tuned: references and programs); `ledger` (every training ever done,
kept); `trials` (trainings on workers, through the ledger). Then what is made of them: `tuned` (the data file
of tuned references), `campaign` (the study that fills it) and `rivals` (what it says of two of them);
`comparison` and `speed` (optimizers side by side); `standings` (the data file of fidelity), `climb` and
`fidelity` (the study that fills it) and `agreement` (what it says); `sequential` (a test of "no worse" that
ends early), `no_worse` and `side_by_side` (the same with trainings), `assignment` and `removals` (what may be
taken out of a program), `ablation`, `ablation_evolution` and `rounding` (what is taken).
"""
