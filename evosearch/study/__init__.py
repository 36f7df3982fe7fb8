"""Studies: many trainings, to tune optimizers and to compare them.

Reading order: `statistics` (means, intervals, paired differences), `tuning` (the one tuner, pure logic),
`tunable` (what can be tuned: references and programs), `ledger` (every training ever done, kept), `trials`
(trainings on workers, through the ledger), `tuned` (the data file of tuned references that ships with
evosearch), `campaign` (the study that fills that file).
"""
