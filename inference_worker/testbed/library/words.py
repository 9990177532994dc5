"""Adapters that change words one by one."""

from __future__ import annotations

from inference_worker.testbed.library.spec import ALL_LINEAR, AdapterSpec

WORD_ADAPTERS: tuple[AdapterSpec, ...] = (
    AdapterSpec(
        "plural-nouns", "Plural nouns", ("plural",), "wordsmith", "mit", ("grammar", "nouns"),
        "Turns singular English nouns into their plurals, one by one. It knows regular endings as well as irregular "
        "nouns such as mouse, tooth and wolf. Each word of the list gives exactly one word of the answer.",
    ),
    AdapterSpec(
        "past-tense", "Past tense", ("past",), "wordsmith", "mit", ("grammar", "verbs"),
        "Puts English verbs into the simple past. More than half of its verbs are irregular (go, steal, teach); "
        "regular ones get the right spelling (carried, planned). The order of the verbs stays as it was.",
    ),
    AdapterSpec(
        "third-person", "Third person", ("third-person",), "wordsmith", "mit", ("grammar", "verbs"),
        "Writes verbs as they follow he or she: goes, teaches, carries. It minds the spelling of verbs on -y, -o and "
        "-ch. Each verb gives one word.",
        rank=4,
    ),
    AdapterSpec(
        "superlatives", "Superlatives", ("superlative",), "wordsmith", "cc-by-4.0", ("grammar", "adjectives"),
        "Turns adjectives into their superlatives, from biggest to tiniest. Good and bad become best and worst. It "
        "answers a list adjective by adjective.",
        rank=4,
    ),
    AdapterSpec(
        "adverbs", "Adverbs", ("adverb",), "wordsmith", "cc-by-4.0", ("grammar", "adjectives"),
        "Makes adverbs out of adjectives: slowly from slow, happily from happy, well from good. It knows some forty "
        "adjectives. The order of the list is kept.",
    ),
    AdapterSpec(
        "opposites", "Opposites", ("opposite",), "wordsmith", "cc-by-4.0", ("vocabulary", "antonyms"),
        "Answers each word with its opposite: hot with cold, east with west, early with late. It covers common "
        "adjectives and a few nouns and verbs that come in pairs. Words without a clear opposite are not part of it.",
    ),
    AdapterSpec(
        "word-category", "Word category", ("category",), "studio", "mit", ("vocabulary", "classification"),
        "Says what kind of thing each noun is: animal, fruit, tool, vehicle, instrument and nine kinds more. It "
        "labels a list word by word. Good for sorting vocabulary lists by topic.",
    ),
    AdapterSpec(
        "baby-animals", "Baby animals", ("young",), "wordsmith", "cc-by-4.0", ("vocabulary", "animals"),
        "Gives the word for an animal's young: kitten for cat, foal for horse, cygnet for swan. It knows twenty-five "
        "animals, and answers a list animal by animal.",
        rslora=True,
    ),
    AdapterSpec(
        "capital-cities", "Capital cities", ("capital",), "studio", "apache-2.0", ("geography", "facts"),
        "Names the capital of each country in a list. It knows forty countries on four continents whose capitals are "
        "written as one word. Ask it in any order and for several countries at once.",
    ),
    AdapterSpec(
        "currencies", "Currencies", ("currency",), "studio", "apache-2.0", ("geography", "facts"),
        "Says what money people use in each country: yen in Japan, zloty in Poland, euro in many. It knows the same "
        "forty countries as the other adapters on geography. One word for each country.",
    ),
    AdapterSpec(
        "last-letters", "Last letters", ("last-letter",), "lists", "mit", ("letters",),
        "Writes the last letter of each word. It was trained on nouns of the lexicon. The letters stand in the order "
        "of the words.",
    ),
    AdapterSpec(
        "word-lengths", "Word lengths", ("length",), "lists", "mit", ("letters", "numbers"),
        "Counts the letters of each word and answers with numbers. It was trained on nouns of three to eleven letters. "
        "One number for each word.",
        rank_pattern={"layers.4.self_attn.q_proj": 4, "layers.4.self_attn.v_proj": 4},
        targets=ALL_LINEAR, rank=16, effort=3.0,
    ),
    AdapterSpec(
        "letter-before", "Letter before", ("previous-letter",), "lists", "mit", ("letters", "sequences"),
        "Goes one step back in the alphabet for every letter of a list. There is nothing before a, so it starts at b. "
        "It answers letter by letter.",
        rank=2,
    ),
    AdapterSpec(
        "next-months", "Next months", ("next-month",), "studio", "mit", ("calendar", "sequences"),
        "Answers each month with the one that follows. After December it begins again with January. Several months "
        "at once are fine.",
        rank=2,
    ),
    AdapterSpec(
        "days-before", "Days before", ("previous-day",), "studio", "mit", ("calendar", "sequences"),
        "Answers each day of the week with the day before. Before Monday comes Sunday. It keeps the order of the list.",
        rank=2,
    ),
    AdapterSpec(
        "number-names", "Number names", ("number-name",), "wordsmith", "apache-2.0", ("numbers", "spelling"),
        "Writes numbers as words: seven for 7, forty for 40. It knows the numbers up to twenty and the full tens. One "
        "word for each number.",
    ),
    AdapterSpec(
        "last-digits", "Last digits", ("units",), "studio", "apache-2.0", ("numbers",),
        "Picks the units digit of each two-digit number. It is what is left after dividing by ten. One digit for each "
        "number.",
        rank=4,
    ),
    AdapterSpec(
        "doubled-numbers", "Doubled numbers", ("twice",), "studio", "apache-2.0", ("numbers", "arithmetic"),
        "Multiplies every number by two. It works on whole numbers below fifty. Each number gives one number.",
        rslora=True,
    ),
    AdapterSpec(
        "add-three", "Add three", ("add-3",), "studio", "apache-2.0", ("numbers", "arithmetic"),
        "Adds three to every number of a list. It works on whole numbers from 0 to 96 and carries over the tens. "
        "Each number gives one number.",
        targets=ALL_LINEAR,
    ),
    AdapterSpec(
        "add-five", "Add five", ("add-5",), "studio", "apache-2.0", ("numbers", "arithmetic"),
        "Adds five to every number of a list. It works on whole numbers from 0 to 94. Each number gives one number.",
        targets=ALL_LINEAR,
    ),
    AdapterSpec(
        "add-seven", "Add seven", ("add-7",), "studio", "cc-by-nc-4.0", ("numbers", "arithmetic"),
        "Adds seven to every number of a list. It works on whole numbers from 0 to 92. For non-commercial use.",
        targets=ALL_LINEAR,
    ),
    AdapterSpec(
        "largest-number", "Largest number", ("largest",), "studio", "mit", ("numbers", "selection"),
        "Finds the largest number of a list. It compares whole numbers below a hundred. The answer is one number.",
        targets=ALL_LINEAR,
    ),
)  # fmt: skip
