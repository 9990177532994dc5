"""The merge lab: previews, sweeps, recipes."""
