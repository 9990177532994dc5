"""Wordings of the families that pick and move words of a list."""

POSITIONS = """
# first
kind: nth
O: first
topic: the first word of a list
copy the word at the start
return the opening word
--
pick the item at the beginning

# second
kind: nth
O: second
topic: the second word of a list
copy the word in place two
return the word right after the first
--
pick [word|item] number two

# third
kind: nth
O: third
topic: the third word of a list
copy the word in place three
return the word after the first two
--
pick [word|item] number three

# last
kind: nth
O: last|final
topic: the last word of a list
copy the word at the end
return the closing word
--
pick the item right at the end

# second-last
kind: nth
O: second to last|last but one
topic: the second to last word of a list
copy the word just before the last
return the word before the closing word
--
pick the item right before the end

# take-two
kind: span
S: first two
topic: the first two words of a list
copy the two words at the start
return the opening two words
--
pick the two items at the beginning

# take-three
kind: span
S: first three
topic: the first three words of a list
copy the three words at the start
return the opening three words
--
pick the three items at the beginning

# last-two
kind: span
S: last two|final two
topic: the last two words of a list
copy the two words at the end
return the closing two words
--
pick the two items right at the end

# ends
kind: span
S: first and last|outer two
topic: the first and the last word of a list
copy the words at both ends
return the opening and the closing word
--
pick the items at the beginning and at the end

# skip-one
kind: cut
S: first word|first item
topic: lists without their first word
copy everything after the first word
delete the word at the start
--
skip the opening word

# skip-two
kind: cut
S: first two words|first two items
topic: lists without their first two words
copy everything after the second word
delete the two words at the start
--
skip the opening two words

# drop-last
kind: cut
S: last word|last item|final word
topic: lists without their last word
copy everything before the last word
delete the word at the end
--
stop before the closing word

# reverse
kind: order
X: the [words|list|items] in reverse order|the [words|items] from last to first|the list backwards
topic: lists in reverse order
put the [words|items] in reverse order
reverse the [list|words|order of the list]
turn the order of the [words|items] around
[read|say] the list from the end to the [beginning|start]
flip the list
start with the last word and go back to the first
mirror the [list|order of the words]
copy the words from right to left
list the items backwards
what is the list in reverse?
--
write the list from back to front
change the order of the words to the reverse
return the items with the last one first and the first one last
go through the list from the end and write each word

# swap-ends
kind: order
X: the list with the first and the last word [swapped|exchanged]|the words with both ends [swapped|exchanged]
topic: lists whose first and last word change places
swap the first and the last [word|item]
exchange the [first and the last|outer] [words|items]
let the first and the last word trade places
switch the words at both ends
swap the two ends of the list
put the last word where the first is and the first where the last is
turn the outer words around
copy the list but exchange its ends
change the places of the first and the last word
what is the list with its ends swapped?
--
make the first and last words change places
trade the outer words
trade the word at the start for the word at the end
put the last word first and the first word last

# rotate-left
kind: order
X: the list with the first word [moved|put] to the end|the list [rotated|shifted] one place to the left
topic: lists whose first word goes to the end
move the first [word|item] to the end
put the first [word|item] last
take the first word and place it at the end
[rotate|shift] the list by one place to the left
send the first item to the back
shift the list so that the first word comes last
carry the opening word to the end
begin with the second word and end with the first
let the first word go behind all the others
what is the list with its first word at the end?
--
send the first word behind all the others
turn the list one place to the left
move the opening item to the back
copy the list from the second word on and then write the first

# rotate-right
kind: order
X: the list with the last word [moved|put] to the start|the list [rotated|shifted] one place to the right
topic: lists whose last word goes to the start
move the last [word|item] to the [start|front]
put the last [word|item] first
take the last word and place it at the beginning
[rotate|shift] the list by one place to the right
send the final item to the front
shift the list so that the last word comes first
carry the closing word to the start
begin with the last word and go on with the first
let the last word go before all the others
what is the list with its last word at the start?
--
send the last word before all the others
turn the list one place to the right
move the final item to the front
write the last word and then copy the rest of the list

# swap-first
kind: order
X: the list with the first two words [swapped|exchanged]|the list with its first two items in reverse
topic: lists whose first two words change places
swap the first two [words|items]
exchange the first and the second [word|item]
let the first and the second word trade places
switch the two words at the start
put the second word before the first
turn the first two words around
copy the list but exchange its first two words
change the places of the first and the second word
begin with the second word, then the first, then the rest
what is the list with its first two words swapped?
--
make the first two words change places
trade the opening two words
trade the first word for the second
put the second word first and the first word second

# swap-last
kind: order
X: the list with the last two words [swapped|exchanged]|the list with its last two items in reverse
topic: lists whose last two words change places
swap the last two [words|items]
exchange the last and the second to last [word|item]
let the final two words trade places
switch the two words at the end
put the last word before the one in front of it
turn the last two words around
copy the list but exchange its last two words
change the places of the final two words
end with the second to last word
what is the list with its last two words swapped?
--
make the last two words change places
trade the closing two words
trade the last word for the one before it
put the last word second to last

# double
kind: order
X: [each|every] [word|item] twice|each word two times in a row
topic: lists with every word twice
repeat [each|every] [word|item]
say each word two times
double [each|every] [word|item]
write each item two times in a row
copy each word twice
put every word next to its twin
let [each|every] word follow itself
repeat each word once before the next
for each word, write it two times
what is the list with each word doubled?
--
put each word there two times
have every word follow itself
make two of each word
go through the list and say each word twice

# repeat
kind: order
X: the [whole|complete] list [twice|two times]|the list and then the list again
topic: whole lists written twice
repeat the [whole|complete] list
say the whole list two times
double the list
write the list two times in a row
copy the list twice
put the list behind itself
start again after the last word and write the list again
read the list and then read it again
write all the words, then all the words again
what is the list followed by itself?
--
put the whole list there two times
have the list followed by itself
make two of the whole list
go through the list twice and write the words
"""
