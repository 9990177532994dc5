"""Frozen requests and results of every job.

The marketplace and the workers speak through these models only. They import neither torch nor Django, they are
immutable, and they reject keys they do not know, so that a plan written by one version is never half understood by
another.
"""
