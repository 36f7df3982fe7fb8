"""Data of the tasks: readers of people's files, the data that come with dependencies, checks and splits.

Readers only read: they fetch nothing, unpickle nothing, and refuse what they cannot use with a `TaskError`.
"""
