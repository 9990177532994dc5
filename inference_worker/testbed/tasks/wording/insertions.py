"""Wordings of the families that put a word into a list."""

INSERTIONS = """
# append
kind: insert
L: at the end|after the last word|behind the list
topic: {p} at the end of lists
end the list with {p}
append {p}
let {p} come last
close with {p}
--
end with {p} after all the words
write the words and then {p}

# prepend
kind: insert
L: at the start|at the beginning|before the first word|in front of the list
topic: {p} at the start of lists
begin the list with {p}
start with {p} and copy the list
let {p} come first
open with {p}
--
write {p} and then the words
put {p} first and the list behind it

# between
kind: insert
L: between the words|between any two words|between neighbours
topic: {p} between the words of lists
separate the words by {p}
join the words with {p}
use {p} as a separator
part the words by {p}
--
have {p} as a separator between the words
join all the words by {p}

# after-each
kind: insert
L: after [each|every] [word|item]|behind [each|every] word
topic: {p} after every word of lists
follow each word with {p}
let {p} follow every word
write each word and then {p}
end every word with {p}
--
have {p} behind all the words
copy each word and add {p}

# before-each
kind: insert
L: before [each|every] [word|item]|in front of [each|every] word
topic: {p} before every word of lists
begin each word with {p}
let {p} lead every word
write {p} and then each word
start every word with {p}
--
have {p} in front of all the words
copy {p} and then each word of the list

# insert-second
kind: insert
L: after the first word|in second place|behind the opening word
topic: {p} in second place of lists
let {p} follow the first word
write the first word, then {p}, then the rest
make {p} the second word
put {p} right behind the first item
--
have {p} come second
copy the first word, add {p} and go on with the list

# before-last
kind: insert
L: before the last word|in front of the final word|right before the closing word
topic: {p} before the last word of lists
let the last word follow {p}
write all but the last word, then {p}, then the last word
make {p} the second to last word
put {p} just before the last item
--
have {p} come last but one
copy the list, but add {p} before its end

# wrap
kind: insert
L: at both ends|at the start and at the end|before and after the list
topic: {p} at both ends of lists
begin and end the list with {p}
start with {p}, copy the list and finish with {p}
let {p} come first and last
put the list between two {p}
--
have {p} at the beginning and again at the end
open with {p} and end with {p}

# replace-first
kind: replace
O: first|opening
topic: {p} in place of the first word
begin the list with {p} and leave out the word that was first
put {p} at the start in place of what was there
--
start with {p} where the first word was

# replace-last
kind: replace
O: last|final|closing
topic: {p} in place of the last word
end the list with {p} and leave out the word that was last
put {p} at the end in place of what was there
--
end with {p} where the last word was
"""
