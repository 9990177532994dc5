"""Text generation: one base, many rows, and for every row its own weighted set of adapters.

State (``sequence``), policy (``scheduler``) and compute (``model_runner``) are apart; ``engine`` ties them together in
one thread per base and ``pool`` keeps the bases.
"""
