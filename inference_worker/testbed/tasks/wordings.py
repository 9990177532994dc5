"""English wordings of the task families. ``{p}`` stands for the parameter.

The part after the line ``--`` is held out: no training sees it, so it measures reading instead of recall. Wordings are
imperative phrases without a capital and a full stop, because ``task.FRAMES`` puts them into sentences.
"""

from __future__ import annotations

_TEXT = """
# singular
write the singular of each word
turn each plural into the singular
give the singular form of every word
make every word singular
change the plurals to singular forms
say each word in the singular
name just one of each thing
--
put every word into the singular
# gerund
write the gerund of each verb
give the ing form of each verb
put every verb in the ing form
write each verb so that it ends in ing
turn the verbs into gerunds
change each verb to its ing form
say each verb as something going on now
--
make a gerund from every verb
# comparative
write the comparative of each adjective
give the comparative form of each word
turn each adjective into its comparative
make every adjective comparative
compare with each adjective
say more of each adjective
change each word to the form used before than
--
put every adjective into the comparative
# language
write the language of each country
name the language spoken in each country
say which language people speak in each country
give the language of every country
tell me the languages of these countries
turn each country into its language
which language belongs to each country
--
answer with the language of each country
# continent
write the continent of each country
name the continent where each country lies
say which continent each country is on
give the continent of every country
tell me the continents of these countries
turn each country into its continent
which continent does each country belong to
--
answer with the continent of each country
# initial
write the first letter of each word
give the initial of each word
take the first letter from every word
spell only the start of each word
say which letter each word begins with
replace every word by its initial letter
write the initials
--
name the letter that starts each word
# first
write the first word
give the first word of the list
take only the first item
say which word comes first
copy the word at the start
pick the item at the beginning
return the opening word
--
name the first word in the list
# third
write the third word
give the third word of the list
take only the third item
say which word comes third
copy the word in place three
pick item number three
return the word after the first two
--
name the third word in the list
# take-two
write the first two words
give the first two words of the list
take only the first two items
copy the two words at the start
pick the two items at the beginning
return the opening two words
leave just the first two words
--
name the first two words in the list
# skip-one
leave out the first word
drop the first word
remove the first item
write all words but the first
delete the word at the start
copy everything after the first word
skip the opening word
--
cut the first word from the list
# swap
swap the first and the last word
exchange the first and the last item
let the first and the last word trade places
switch the words at both ends
swap the two ends of the list
put the last word where the first is and the first where the last is
interchange the outer words
--
make the first and last words change places
# rotate
move the first word to the end
put the first word last
take the first word and place it at the end
rotate the list by one place to the left
send the first item to the back
shift the list so that the first word comes last
carry the opening word to the end
--
push the first word behind all the others
# double
write every word twice
repeat each word
say each word two times
double every word
write each item two times in a row
copy each word twice
put every word next to its twin
--
give each word two times
# prepend
put {p} at the start
write {p} before the list
add {p} in front of the words
begin the list with {p}
place {p} before the first word
start with {p} and copy the list
let {p} come first
--
insert {p} at the beginning
# between
put {p} between the words
write {p} between any two words
separate the words by {p}
place {p} between neighbours
join the words with {p}
insert {p} after every word except the last
use {p} as a separator
--
set {p} between all words
# drop
leave out the {p}
remove all {p}
drop every word for {p}
delete the {p} from the list
write everything except the {p}
throw the {p} away
copy the list without the {p}
--
cut all {p} from the list
# subtract
subtract {p} from each number
take {p} away from every number
lower each number by {p}
make every number smaller by {p}
write each number minus {p}
reduce all the numbers by {p}
count {p} down from each number
--
decrease every number by {p}
# smallest
write the smallest number
give the lowest number
find the minimum
say which number is the smallest
pick the least of these numbers
return the lowest value
choose the smallest one
--
name the minimum of the list
# reverse
put the words in reverse order
reverse the list
write the words backwards
list the items from last to first
turn the order of the words around
read the list from the end to the beginning
flip the list
start with the last word and go back to the first
give the items in the opposite order
mirror the sequence of words
copy the words from right to left
invert the order of this list
--
write the list in reverse
give me the words from the end to the start
return these items in backward order
output the sequence reversed
# plural
write the plural of each word
turn each noun into its plural
give the plural form of every word
make every noun plural
change the singular nouns to plural
say each noun as if there were many
pluralise all the words
write each thing as more than one
what are the plurals of these nouns
put each noun in the plural
form the plurals
name several of each thing
--
convert every noun to the plural
rewrite the nouns in plural form
list the plurals of the words
make these nouns into plurals
# past
write the past tense of each verb
put every verb in the past
give the past form of each verb
turn each verb into the past tense
change the verbs to the past
say each verb as if it happened yesterday
what is the past tense of these verbs
make all verbs past tense
write what was done for each verb
conjugate every verb in the simple past
move each verb to the past
form the past tense
--
convert the verbs to past tense
rewrite every verb in the past
list the past forms of these verbs
express each verb in the past tense
# opposite
write the opposite of each word
give the antonym of each word
turn every word into its opposite
replace each word with its antonym
say the contrary of each word
what is the opposite of each of these
change each word to mean the reverse
name the word that means the contrary
find the opposites
write antonyms for all the words
answer each word with its contrary
exchange every word for its opposite
--
list the opposites of these words
convert each word to its antonym
tell me the opposite of every word
provide the contrary of each term
# capital
write the capital of each country
name the capital city of each country
give the capital of every country
say which city is the capital of each country
turn each country into its capital
what are the capitals of these countries
tell me the capital cities
replace every country by its capital
find the capital for each nation
list the main city of government for each country
match each country with its capital city
for each country write its capital
--
answer with the capital of each country
convert every country to its capital city
list the capitals of the countries
which capital does each country have
# category
write the category of each word
say what kind of thing each word is
name the class of each word
give the group that each item belongs to
sort of what is each word
classify every word
label each item with its category
what type of thing is each of these
turn each word into the name of its kind
tell me the category for all words
replace every word by its category
tag each word with its group
--
list the categories of the words
determine the kind of each item
assign a category to each word
answer with the type of every word
# young
write the name of each animal's young
name the baby of each animal
what is the young of each animal called
give the word for the baby animal
turn each animal into its young
say what the little ones are called
replace every animal by its baby
tell me the name of the child of each animal
for each animal write the name of its baby
name the offspring of each animal
find the word for a young one of each kind
change each grown animal to a baby
--
list the babies of these animals
convert each animal to its young
answer with the offspring of every animal
what do you call the baby of each animal
# second
write the second word
give the second word of the list
take only the second item
say which word comes second
copy the word in place two
pick item number two
return the word right after the first
which is the second word
find the word in second position
extract the second element
answer with word number two
show just the second item
--
name the second word in the list
output only the second item
select the word in position two
tell me the second of these words
# last
write the last word
give the final word of the list
take only the last item
say which word comes last
copy the word at the end
pick the item at the very end
return the closing word
which is the last word
find the word in final position
extract the last element
answer with the final item
show just the word that ends the list
--
name the last word in the list
output only the final word
select the item at the end
tell me the last of these words
# append
put {p} at the end
write {p} after the list
add {p} behind the words
end the list with {p}
place {p} after the last word
copy the list and finish with {p}
let {p} come last
append {p}
attach {p} to the end of the list
write the words and then {p}
close the list with {p}
add the word {p} as the final item
--
insert {p} at the end
finish the list by adding {p}
tack {p} onto the end
extend the list with {p}
# keep
keep only the {p}
write only the {p}
pick the {p} from the list
which of these are {p}
select all {p}
copy just the {p}
find the {p}
list every word that is one of the {p}
show me the {p} alone
choose the {p} and nothing else
filter the list for {p}
take the {p} out of the list and write them
--
extract the {p}
return just the {p} in the list
give me only the words for {p}
retain the {p}
# add
add {p} to each number
increase every number by {p}
raise each number by {p}
make every number bigger by {p}
write each number plus {p}
sum {p} and each number
count {p} up from each number
what is each number plus {p}
put {p} on top of every number
give each number with {p} added
move every number up by {p}
enlarge all the numbers by {p}
--
write the numbers after adding {p}
compute each number plus {p}
bump every number up by {p}
return every number increased by {p}
# largest
write the largest number
give the highest number
find the maximum
say which number is the biggest
pick the greatest of these numbers
return the highest value
choose the largest one
which number is the largest
tell me the top value
show the biggest number
extract the greatest value
answer with the maximum
--
name the maximum of the list
output the biggest of the numbers
select the highest number
tell me which value is greatest
"""


def _parse(text: str) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    families: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    for block in text.strip().split("# ")[1:]:
        name, *lines = block.strip().splitlines()
        cut = lines.index("--")
        families[name] = (tuple(lines[:cut]), tuple(lines[cut + 1 :]))
    return families


#: Family -> (seen wordings, unseen wordings).
WORDINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = _parse(_TEXT)
