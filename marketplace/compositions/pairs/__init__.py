"""What two adapters have in common: measured once by a worker, kept, shown, and ranked by."""
