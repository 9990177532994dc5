"""Nouns by category, their plurals, and what belongs to animals."""

from __future__ import annotations

from inference_worker.testbed.lexicon.parsing import pairs, words

CATEGORIES: dict[str, tuple[str, ...]] = {
    "animal": words(
        "cat dog horse cow pig goat lion tiger bear wolf fox rabbit mouse rat monkey elephant camel donkey frog snake "
        "eagle duck goose owl swan"
    ),
    "fruit": words("apple pear banana lemon lime peach plum cherry grape melon mango fig apricot berry"),
    "vegetable": words("carrot onion potato tomato cabbage bean pea leek turnip radish pumpkin pepper"),
    "furniture": words("table chair sofa bed desk shelf bench stool cabinet wardrobe couch cupboard"),
    "clothing": words("shirt coat hat sock shoe glove scarf skirt dress jacket belt boot sweater"),
    "tool": words("hammer saw drill wrench chisel axe shovel rake screwdriver ladder spade brush"),
    "vehicle": words("car bus train truck boat ship plane bicycle tram van taxi tractor"),
    "body": words("arm leg foot hand head nose ear eye tooth knee elbow finger shoulder"),
    "job": words("doctor teacher nurse farmer baker pilot lawyer judge painter sailor plumber tailor"),
    "instrument": words("piano guitar violin drum flute trumpet harp cello organ banjo clarinet"),
    "building": words("house church school castle tower bank museum hotel barn temple factory library"),
    "kitchen": words("plate cup fork spoon pot pan bowl kettle glass knife bottle jug"),
    "plant": words("tree rose tulip oak pine lily daisy bush fern willow maple"),
    "insect": words("ant bee fly wasp beetle moth butterfly mosquito cricket"),
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

YOUNG: dict[str, str] = dict(
    pairs("""
cat kitten|dog puppy|horse foal|cow calf|pig piglet|goat kid|lion cub|tiger cub|bear cub|wolf pup|fox cub
rabbit bunny|mouse pup|rat pup|elephant calf|camel calf|donkey foal|frog tadpole|eagle eaglet|duck duckling
goose gosling|owl owlet|swan cygnet|monkey infant|snake snakelet
""")
)

#: Back from the young to the grown animal, where only one animal has young of that name.
GROWN: dict[str, str] = {young: animal for animal, young in YOUNG.items() if list(YOUNG.values()).count(young) == 1}

SOUNDS: dict[str, str] = dict(
    pairs("""
cat meow|dog woof|cow moo|pig oink|lion roar|duck quack|owl hoot|snake hiss|frog croak|wolf howl|mouse squeak
goose honk|horse neigh|donkey bray|bear growl|bee buzz|goat bleat|monkey chatter|eagle screech|cricket chirp
""")
)
