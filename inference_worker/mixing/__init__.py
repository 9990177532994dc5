"""Compositions: what a set of adapters adds to a base's linear modules."""
