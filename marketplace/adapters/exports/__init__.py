"""Exports: an adapter in another tool's form, made by a job, kept for some days for whoever asked."""
