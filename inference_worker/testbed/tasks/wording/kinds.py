"""Templates that families of one kind share. ``{N}`` and the like are filled by each family; lines after ``--`` are
held out from every training."""

KINDS = """
# map
[write|give|list] the {N} of [each|every] {I}
[turn|change|make] [each|every] {I} into its {N}
[say|tell me|name] the {N} [of|for] [each|every] {I}
replace [each|every] {I} [by|with] its {N}
for [each|every] {I}, [write|give|find] its {N}
what is the {N} of each {I}?
[find|show] the {N} of [all|all the|these] {Is}
answer with the {N} of [each|every] {I}
copy the list with the {N} in place of each {I}
[go|work] through the {Is} and [write|say] the {N} of each
[return|output] the {N} of [each|every] {I} [in the list|in order]
[exchange|swap] each {I} for its {N}
--
convert [each|every] {I} [to|into] its {N}
[give me|write down] the {N} for [all|all the|each of the] {Is}
[read|take] each {I} and [answer with|return] its {N}
[put|set] the {N} where each {I} [is|stands]

# nth
[write|give|copy] the {O} [word|item] [of|in] the list
[take|pick|choose] [only|just] the {O} [word|item]
say which [word|item] comes {O}
which [word|item] [is|comes] {O}?
answer with the {O} [word|item] [alone|and nothing else]
[find|show|tell me] the [word|item] that [stands|comes] {O}
[name|return|output] the {O} of these [words|items]
leave out everything but the {O} [word|item]
[read|look through] the list and [write|say] the {O} [word|item]
what is the {O} [word|item]?
[extract|select] the {O} [word|item]
[find|copy] the [word|item] in {O} [place|position]
--
write down [only|just] the {O} [word|item]
[give me|return|show] the [word|item] in {O} [place|position]
[go|work] through the list and [pick|keep] the {O} [word|item]
from the list, pick out the {O} [word|item]

# span
[write|give|copy] the {S} [words|items] [of|in] the list
[take|pick|choose] [only|just] the {S} [words|items]
answer with the {S} [words|items] [alone|and nothing else]
[find|show|tell me] the {S} [words|items]
[name|return|output] the {S} of these [words|items]
leave out everything but the {S} [words|items]
[read|look through] the list and [write|say] the {S} [words|items]
what are the {S} [words|items]?
[extract|select] the {S} [words|items]
cut the list down to the {S} [words|items]
list the {S} [words|items]
which are the {S} [words|items]?
--
write down [only|just] the {S} [words|items]
keep the {S} [words|items] and leave out the rest
from the list, pick out the {S} [words|items]
[give me|return] a list of the {S} [words|items]

# cut
leave out the {S}
[drop|remove|delete] the {S} [of|from] the list
[write|copy|give] [everything|all] [but|except] the {S}
[cut|take] the {S} [off|away]
copy the list without the {S}
[say|list] [all the words|everything] except the {S}
forget the {S} and [write|copy] the rest
what is left without the {S}?
[skip|ignore] the {S} and [write|return] the others
[return|output] the list [without|minus] the {S}
throw the {S} away
[read|take] the list and remove the {S}
--
delete the {S} and [give me|keep] the rest
output the list with the {S} [left out|taken away]
drop the {S} and [keep|copy] the others
write down [all|everything] but the {S}

# insert
[put|write|add] {p} {L}
[insert|place|set] the word {p} {L}
copy the [list|words] and [put|write] {p} {L}
[repeat|write] the list with {p} {L}
[add|insert] {p} [to the list|to the words] {L}
{L}, [put|write] {p}
let [{p}|the word {p}] stand {L}
[return|output|give] the [list|words] with {p} [added|placed] {L}
take the [list|words] and [add|set] {p} {L}
say the words with {p} {L}
what does the list look like with {p} {L}?
[complete|extend] the list: {p} {L}
--
[show|give me] the list with the word {p} [put|set] {L}
make a list that has {p} {L}
write down the words and [insert|place] {p} {L}
copy everything and [place|add] the word {p} {L}

# replace
replace the {O} [word|item] [by|with] {p}
write {p} [instead of|in place of] the {O} [word|item]
[change|turn] the {O} [word|item] [to|into] {p}
[put|set] {p} where the {O} [word|item] [is|stands]
copy the list with {p} [as|for] the {O} [word|item]
let {p} take the place of the {O} [word|item]
swap the {O} [word|item] for {p}
[take away|remove] the {O} [word|item] and [put|write] {p} there
[return|output] the list with the {O} [word|item] [changed to|replaced by] {p}
what is the list with {p} [instead of|in place of] the {O} [word|item]?
exchange the {O} [word|item] for {p}
make the {O} [word|item] {p}
--
use {p} [in place of|instead of] the {O} [word|item]
[give me|show] the list with {p} as its {O} [word|item]
drop the {O} [word|item] and [write|add] {p} in its place
convert the {O} [word|item] to {p}

# order
[write|give|copy] {X}
[return|output|show] {X}
answer with {X}
tell me {X}
--
write down {X}
give me {X}

# extreme
write the {A} number
[give|name] the {A} [value|number] [of|in] the list
find the {M}
say which number is the {A}
[pick|choose] the {A} of these numbers
[return|output] the {A} value
which number is the {A}?
answer with the {M} [of the list|alone]
[show|tell me] the {A} of all the numbers
leave out everything but the {A} number
[extract|select] the {M}
[read|look through] the numbers and [write|say] the {A}
--
from the list, pick out the {A} number
write down [only|just] the {A} [number|value]
[give me|return] the {M} of these numbers
[go|work] through the numbers and [pick|keep] the {A}
"""
