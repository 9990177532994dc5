"""Wordings of the families on countries, letters and the calendar. ``I`` is what a list holds, ``N`` what an item turns
into."""

KNOWLEDGE = """
# capital
kind: map
N: capital|capital city|main city
I: country
Is: countries
topic: capitals of countries
name the capital city of each country
say which city is the capital of each country
what are the capitals of these countries?
match each country with its capital city
tell me the capital cities
name the city that governs each country
--
list the capitals of the countries
which city is the capital of each country?

# country
kind: map
N: country|nation
I: city|capital
Is: cities|capitals
topic: the countries of capital cities
name the country of each capital city
say which country each city lies in
in which country is each of these cities?
match each capital city with its country
tell me the countries
name the country that each city governs
--
list the countries of the cities
which country has each capital?

# language
kind: map
N: language|main language
I: country
Is: countries
topic: languages of countries
name the language spoken in each country
say which language people speak in each country
what do people speak in these countries?
match each country with its language
tell me the languages
write how people talk in each country
--
list the languages of the countries
which language do you hear in each country?

# continent
kind: map
N: continent|part of the world
I: country
Is: countries
topic: continents of countries
name the continent where each country lies
say which continent each country is on
on which continent is each of these countries?
match each country with its continent
tell me the continents
write where in the world each country lies
--
list the continents of the countries
on which continent do you find each country?

# currency
kind: map
N: currency|money
I: country
Is: countries
topic: currencies of countries
name the money used in each country
say which currency people pay with in each country
what do people pay with in these countries?
match each country with its currency
tell me the currencies
write how people pay in each country
--
list the currencies of the countries
which money do you find in each country?

# initial
kind: map
N: first letter|initial
I: word
topic: first letters of words
say which letter each word begins with
take the first letter from every word
spell only the start of each word
write the initials
which letter starts each word?
cut each word down to its first letter
--
name the letter that starts each word
list the letters that the words begin with

# last-letter
kind: map
N: last letter|final letter
I: word
topic: last letters of words
say which letter each word ends with
take the last letter from every word
spell only the end of each word
write the letters at the ends
which letter ends each word?
cut each word down to its last letter
--
name the letter that ends each word
list the letters that the words end with

# length
kind: map
N: length|number of letters
I: word
topic: lengths of words
say how many letters each word has
count the letters of every word
how long is each word?
write how long the words are
tell me the lengths
how many letters has each word?
--
list the lengths of these words
find out how many letters long each word is

# next-letter
kind: map
N: next letter|following letter
I: letter
topic: the next letters of the alphabet
say which letter comes after each one
move every letter one step on
go one letter on in the alphabet
which letter follows each of these?
write the letters that come next
shift each letter one place up
--
list the letters that follow these
name what comes after each letter

# previous-letter
kind: map
N: previous letter|preceding letter
I: letter
topic: the previous letters of the alphabet
say which letter comes before each one
move every letter one step back
go one letter back in the alphabet
which letter precedes each of these?
write the letters that come before
shift each letter one place down
--
list what comes before each of these letters
name what comes before each letter

# next-month
kind: map
N: next month|following month
I: month
topic: the next months of the year
say which month comes after each one
move every month one step on
go one month on in the year
which month follows each of these?
write the months that come next
shift each month one place later
--
list the months that follow these
name what comes after each month

# previous-month
kind: map
N: previous month|preceding month
I: month
topic: the previous months of the year
say which month comes before each one
move every month one step back
go one month back in the year
which month precedes each of these?
write the months that come before
shift each month one place earlier
--
list what comes before each of these months
name what comes before each month

# next-day
kind: map
N: next day|following day
I: day
topic: the next days of the week
say which day comes after each one
move every day one step on
go one day on in the week
which day follows each of these?
write the days that come next
shift each day one place later
--
list the days that follow these
name what comes after each day

# previous-day
kind: map
N: previous day|preceding day
I: day
topic: the previous days of the week
say which day comes before each one
move every day one step back
go one day back in the week
which day precedes each of these?
write the days that come before
shift each day one place earlier
--
list what comes before each of these days
name what comes before each day
"""
