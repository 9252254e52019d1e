"""Screening: which image carries which degradation, which is clean, which is of no use."""
