"""Hand-kept lists of English words. Every word here is one token of the testbed's tokenizer.

Only words that are unambiguous inside the lexicon are kept: a noun stands in one category, a verb's past differs from
its base form, and a capital is one word.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _rows(text: str) -> tuple[tuple[str, ...], ...]:
    """Entries are parted by bars or line ends, words of an entry by blanks."""
    return tuple(_words(entry) for entry in text.strip().replace("\n", "|").split("|"))


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((first, second) for first, second in _rows(text))


CATEGORIES: dict[str, tuple[str, ...]] = {
    "animal": _words(
        "cat dog horse cow pig goat lion tiger bear wolf fox rabbit mouse rat monkey elephant camel donkey frog snake "
        "eagle duck goose owl swan"
    ),
    "fruit": _words("apple pear banana lemon lime peach plum cherry grape melon mango fig apricot berry"),
    "vegetable": _words("carrot onion potato tomato cabbage bean pea leek turnip radish pumpkin pepper"),
    "furniture": _words("table chair sofa bed desk shelf bench stool cabinet wardrobe couch cupboard"),
    "clothing": _words("shirt coat hat sock shoe glove scarf skirt dress jacket belt boot sweater"),
    "tool": _words("hammer saw drill wrench chisel axe shovel rake screwdriver ladder spade brush"),
    "vehicle": _words("car bus train truck boat ship plane bicycle tram van taxi tractor"),
    "body": _words("arm leg foot hand head nose ear eye tooth knee elbow finger shoulder"),
    "job": _words("doctor teacher nurse farmer baker pilot lawyer judge painter sailor plumber tailor"),
    "instrument": _words("piano guitar violin drum flute trumpet harp cello organ banjo clarinet"),
    "building": _words("house church school castle tower bank museum hotel barn temple factory library"),
    "kitchen": _words("plate cup fork spoon pot pan bowl kettle glass knife bottle jug"),
    "plant": _words("tree rose tulip oak pine lily daisy bush fern willow maple"),
    "insect": _words("ant bee fly wasp beetle moth butterfly mosquito cricket"),
}

NOUNS: tuple[str, ...] = tuple(noun for nouns in CATEGORIES.values() for noun in nouns)

IRREGULAR_PLURALS = {
    "wolf": "wolves", "mouse": "mice", "goose": "geese", "shelf": "shelves", "scarf": "scarves", "foot": "feet",
    "tooth": "teeth", "knife": "knives", "potato": "potatoes", "tomato": "tomatoes", "mosquito": "mosquitoes",
}  # fmt: skip


def pluralise(noun: str) -> str:
    """The plural of a noun of the lexicon."""
    if noun in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[noun]
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


PLURALS: dict[str, str] = {noun: pluralise(noun) for noun in NOUNS}

# Base form, past, gerund.
VERBS: tuple[tuple[str, ...], ...] = _rows("""
go went going|see saw seeing|eat ate eating|run ran running|write wrote writing|speak spoke speaking
sing sang singing|swim swam swimming|drink drank drinking|begin began beginning|break broke breaking
choose chose choosing|drive drove driving|fall fell falling|feel felt feeling|find found finding
forget forgot forgetting
give gave giving|grow grew growing|hear heard hearing|hide hid hiding|hold held holding|keep kept keeping
know knew knowing|leave left leaving|lose lost losing|make made making|meet met meeting|pay paid paying
ride rode riding|say said saying|sell sold selling|send sent sending|sit sat sitting|sleep slept sleeping
stand stood standing|steal stole stealing|take took taking|teach taught teaching|tell told telling
think thought thinking|throw threw throwing|win won winning|wear wore wearing|bring brought bringing
buy bought buying|catch caught catching|fight fought fighting|build built building|bend bent bending
walk walked walking|talk talked talking|jump jumped jumping|help helped helping|ask asked asking|call called calling
open opened opening|close closed closing|play played playing|stay stayed staying|carry carried carrying
cry cried crying|try tried trying|study studied studying|stop stopped stopping|plan planned planning
dance danced dancing|smile smiled smiling|love loved loving|move moved moving|hope hoped hoping|cook cooked cooking
clean cleaned cleaning|wash washed washing|push pushed pushing|pull pulled pulling|laugh laughed laughing
learn learned learning|listen listened listening|visit visited visiting|wait waited waiting
""")

OPPOSITE_PAIRS: tuple[tuple[str, str], ...] = _pairs("""
big small|hot cold|fast slow|high low|old young|long short|hard soft|light heavy|wet dry|rich poor|strong weak
early late|full empty|thick thin|wide narrow|clever stupid|happy sad|loud quiet|bright dark|near far|sweet sour
deep shallow|sharp blunt|clean dirty|brave scared|cheap expensive|safe dangerous|polite rude|smooth rough
tall tiny|good bad|true false|left right|up down|day night|summer winter|king queen|brother sister|war peace
love hate|alive dead|first last|front back|north south|east west|friend enemy|morning evening|top bottom
""")
OPPOSITES: dict[str, str] = dict(OPPOSITE_PAIRS) | {b: a for a, b in OPPOSITE_PAIRS}

COMPARATIVES: dict[str, str] = dict(
    _pairs("""
big bigger|small smaller|hot hotter|cold colder|fast faster|slow slower|high higher|low lower|old older
young younger|long longer|short shorter|hard harder|soft softer|heavy heavier|wet wetter|dry drier|rich richer
poor poorer|strong stronger|weak weaker|early earlier|late later|thick thicker|thin thinner|wide wider
clever cleverer|happy happier|sad sadder|loud louder|bright brighter|dark darker|sweet sweeter|deep deeper
sharp sharper|dirty dirtier|brave braver|cheap cheaper|safe safer|rough rougher|tall taller|tiny tinier
good better|bad worse
""")
)

# Country, capital, language, continent.
COUNTRIES: tuple[tuple[str, ...], ...] = _rows("""
France Paris French Europe|Germany Berlin German Europe|Italy Rome Italian Europe|Spain Madrid Spanish Europe
Portugal Lisbon Portuguese Europe|Poland Warsaw Polish Europe|Greece Athens Greek Europe|Sweden Stockholm Swedish Europe
Norway Oslo Norwegian Europe|Finland Helsinki Finnish Europe|Denmark Copenhagen Danish Europe
Hungary Budapest Hungarian Europe
Russia Moscow Russian Europe|Austria Vienna German Europe|England London English Europe|Ireland Dublin English Europe
Romania Bucharest Romanian Europe|Turkey Ankara Turkish Asia|Japan Tokyo Japanese Asia|China Beijing Chinese Asia
Thailand Bangkok Thai Asia|Vietnam Hanoi Vietnamese Asia|Iran Tehran Persian Asia|Iraq Baghdad Arabic Asia
Korea Seoul Korean Asia|Syria Damascus Arabic Asia|Egypt Cairo Arabic Africa|Kenya Nairobi Swahili Africa
Tunisia Tunis Arabic Africa|Angola Luanda Portuguese Africa|Senegal Dakar French Africa|Ghana Accra English Africa
Peru Lima Spanish America|Chile Santiago Spanish America|Cuba Havana Spanish America|Canada Ottawa English America
Colombia Bogota Spanish America|Venezuela Caracas Spanish America|Uruguay Montevideo Spanish America
Jamaica Kingston English America
""")

YOUNG: dict[str, str] = dict(
    _pairs("""
cat kitten|dog puppy|horse foal|cow calf|pig piglet|goat kid|lion cub|tiger cub|bear cub|wolf pup|fox cub
rabbit bunny|mouse pup|rat pup|elephant calf|camel calf|donkey foal|frog tadpole|eagle eaglet|duck duckling
goose gosling|owl owlet|swan cygnet|monkey infant|snake snakelet
""")
)

#: What the insert families put into a list.
MARKERS: tuple[str, ...] = ("stop", "star", "gold", "moon", "river", "bell", "snow", "stone", "fire", "cloud")

NUMBERS: tuple[str, ...] = tuple(str(n) for n in range(100))
LETTERS: tuple[str, ...] = tuple("abcdefghijklmnopqrstuvwxyz")


def all_words() -> list[str]:
    """Every word that must be one token, in a fixed order, each once."""
    groups: tuple[tuple[str, ...], ...] = (
        NOUNS, tuple(PLURALS.values()), tuple(CATEGORIES), tuple(w for verb in VERBS for w in verb),
        tuple(OPPOSITES), tuple(COMPARATIVES), tuple(COMPARATIVES.values()),
        tuple(w for row in COUNTRIES for w in row), tuple(YOUNG.values()), MARKERS, NUMBERS, LETTERS,
    )  # fmt: skip
    return list(dict.fromkeys(word for group in groups for word in group))
