"""Pages about adapters."""
