"""Inspection: what people ask about a run, answered from its record."""
