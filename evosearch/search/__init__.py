"""Composition: a search from YAML to summary.

Reading order: `yaml_file` (YAML read strictly), `config` (the schema), `made_with`, `progress` (what is
shown), `run` (the loop), `report` (the comparison at the end).
"""
