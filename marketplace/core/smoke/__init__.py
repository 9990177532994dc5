"""An operator's health check: the whole path through REST, as a stranger would go it. Touches no database itself."""
