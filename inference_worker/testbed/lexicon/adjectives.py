"""Adjectives with opposites and forms."""

from __future__ import annotations

from inference_worker.testbed.lexicon.parsing import pairs

OPPOSITE_PAIRS: tuple[tuple[str, str], ...] = pairs("""
big small|hot cold|fast slow|high low|old young|long short|hard soft|light heavy|wet dry|rich poor|strong weak
early late|full empty|thick thin|wide narrow|clever stupid|happy sad|loud quiet|bright dark|near far|sweet sour
deep shallow|sharp blunt|clean dirty|brave scared|cheap expensive|safe dangerous|polite rude|smooth rough
tall tiny|good bad|true false|left right|up down|day night|summer winter|king queen|brother sister|war peace
love hate|alive dead|first last|front back|north south|east west|friend enemy|morning evening|top bottom
""")
OPPOSITES: dict[str, str] = dict(OPPOSITE_PAIRS) | {b: a for a, b in OPPOSITE_PAIRS}

COMPARATIVES: dict[str, str] = dict(
    pairs("""
big bigger|small smaller|hot hotter|cold colder|fast faster|slow slower|high higher|low lower|old older
young younger|long longer|short shorter|hard harder|soft softer|heavy heavier|wet wetter|dry drier|rich richer
poor poorer|strong stronger|weak weaker|early earlier|late later|thick thicker|thin thinner|wide wider
clever cleverer|happy happier|sad sadder|loud louder|bright brighter|dark darker|sweet sweeter|deep deeper
sharp sharper|dirty dirtier|brave braver|cheap cheaper|safe safer|rough rougher|tall taller|tiny tinier
good better|bad worse
""")
)
POSITIVES: dict[str, str] = {comparative: adjective for adjective, comparative in COMPARATIVES.items()}
IRREGULAR_SUPERLATIVES = {"good": "best", "bad": "worst"}
SUPERLATIVES: dict[str, str] = {
    adjective: IRREGULAR_SUPERLATIVES.get(adjective, comparative.removesuffix("er") + "est")
    for adjective, comparative in COMPARATIVES.items()
}

ADVERBS: dict[str, str] = dict(
    pairs("""
slow slowly|loud loudly|quiet quietly|happy happily|sad sadly|brave bravely|polite politely|rude rudely
clever cleverly|stupid stupidly|soft softly|strong strongly|weak weakly|heavy heavily|light lightly|bright brightly
dark darkly|sweet sweetly|deep deeply|sharp sharply|blunt bluntly|cheap cheaply|safe safely|dangerous dangerously
rough roughly|smooth smoothly|poor poorly|rich richly|cold coldly|hot hotly|wide widely|narrow narrowly|thick thickly
thin thinly|high highly|good well|bad badly|true truly|false falsely|expensive expensively
""")
)
