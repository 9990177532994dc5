"""Brickyard's engine: adapter formats, merging, serving. Usable without Django and without a broker."""
