"""Wordings of the families that choose by category, and of those on numbers."""

CHOICES = """
# keep
topic: {p} in mixed lists
keep only the {p}
[write|copy|list] [only|just] the {p}
pick [all|all the] {p} from the list
which of these are {p}?
[choose|select] the {p} and [leave out|ignore] the rest
[find|name|show] all the {p}
list every word that is one of the {p}
show me the {p} alone
[read|look through] the list and [write|say] the {p}
take the {p} out of the list and write them
leave out everything but the {p}
answer with the {p} [alone|and nothing else]
remove [everything|all words] that [is|are] not among the {p}
--
[extract|select] the {p}
[give me|return] just the {p} in the list
[go|work] through the list and [keep|copy] the {p}
write down only the words for {p}

# drop
topic: mixed lists without {p}
[leave out|remove|drop] the {p}
[remove|delete] all {p} [of|from] the list
[write|copy|give] everything [but|except] the {p}
throw the {p} away
copy the list without the {p}
which of these are not {p}?
[skip|ignore] the {p} and [write|return] the others
forget the {p} and copy the rest
keep only what is not among the {p}
[read|look through] the list and [delete|skip] the {p}
what is left without the {p}?
[return|output] the list [without|minus] the {p}
[cut|take] the {p} out of the list
--
drop the {p} and keep the rest
output the list with the {p} [left out|taken away]
delete every word that is one of the {p}
write down all but the {p}

# find
topic: the first of the {p} in a list
[find|write|give] the first of the {p}
which of the {p} comes first?
[say|tell me] which of the {p} comes first
[name|copy|return] the first word that is one of the {p}
[look through|read] the list and stop at the first of the {p}
pick the first [word|item] among the {p}
[show|choose] only the first of the {p}
answer with the first word for {p}
what is the first of the {p}?
leave out everything but the first of the {p}
take the word that is first among the {p}
search the list for {p} and write the first one
--
from the list, pick out the first of the {p}
[give me|output] the first word among the {p}
write down the first of the {p} in the list
go through the list and stop where you find one of the {p}

# has
topic: whether lists hold {p}
[say|tell me] whether the list has {p}
[are|do you find] {p} in the list?
[answer|say] yes or no: there are {p}
are any of these {p}?
does the list [have|hold|show] [any|] {p}?
[look|search] for [any|] {p} and [say|write|answer] yes or no
find out whether there are {p} in the list
[write|answer] yes if the list has {p} and no if not
is [any|one] of the words one of the {p}?
say [if|whether] [any|some] {p} are in the list
tell me yes or no: any of these are {p}
[check|search] the list for {p} and answer yes or no
--
answer whether any of the words are {p}
is there one of the {p} in the list?
say yes if you find {p} and no if not
look through the list and tell me whether it has {p}

# add
topic: adding {p} to numbers
add {p} to [each|every] number
[increase|raise] [each|every] number by {p}
make [each|every] number [bigger|larger|greater] by {p}
write [each|every] number plus {p}
[sum|add up] {p} and each number
[count|go] {p} up from [each|every] number
what is [each|every] number plus {p}?
put {p} on top of [each|every] number
give [each|every] number with {p} added
move [each|every] number up by {p}
[return|output] the numbers with {p} added to each
let each number grow by {p}
--
compute each number plus {p}
write each number with {p} more
[return|give me] every number {p} [bigger|larger]
go through the numbers and add {p} to each

# subtract
topic: subtracting {p} from numbers
subtract {p} from [each|every] number
[lower|reduce] [each|every] number by {p}
make [each|every] number [smaller|less] by {p}
write [each|every] number minus {p}
take {p} away from [each|every] number
[count|go] {p} down from [each|every] number
what is [each|every] number minus {p}?
take {p} off the top of [each|every] number
give [each|every] number with {p} taken away
move [each|every] number down by {p}
[return|output] the numbers with {p} subtracted from each
compute each number less {p}
--
compute each number minus {p}
write each number with {p} less
[return|give me] every number {p} smaller
go through the numbers and subtract {p} from each

# largest
kind: extreme
A: largest|biggest|highest|greatest
M: maximum
topic: the largest number of a list

# smallest
kind: extreme
A: smallest|lowest|least
M: minimum
topic: the smallest number of a list

# number-name
kind: map
N: name|word
I: number
topic: numbers written as words
spell [each|every] number in words
write the numbers out in words
say each number as a word
--
put the numbers into words

# digits
kind: map
N: digits|figure
I: word|number word
topic: number words written in digits
write [each|every] number word in digits
write the numbers out in figures
say each number word as a figure
--
put the words into digits

# tens
kind: map
N: first digit|tens digit
I: number
topic: the tens of numbers
cut each number down to its first digit
say how many tens each number has
which digit does each number begin with?
--
name the digit that starts each number

# units
kind: map
N: last digit|units digit
I: number
topic: the units of numbers
cut each number down to its last digit
say how many units are left in each number
which digit does each number end with?
--
name the digit that ends each number

# parity
kind: map
N: parity
I: number
topic: even and odd numbers
say whether each number is even or odd
write even or odd for each number
is each number even or odd?
--
tell me for each number whether it is odd or even

# twice
kind: map
N: double
I: number
topic: doubling numbers
double [each|every] number
[multiply|times] [each|every] number by two
add each number to itself
write two times each number
--
make each number twice what it was
"""
