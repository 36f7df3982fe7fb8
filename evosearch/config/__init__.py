"""Configuration: YAML read safely and strictly, and the sections that a search and a funnel share.

Reading order: `yaml_file` (text to data, with the line of each key), `reading` (data to a checked model),
`sections` (tasks, schedules, workers).
"""
