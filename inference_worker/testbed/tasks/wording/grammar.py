"""Wordings of the families on nouns, verbs and adjectives. ``I`` is what a list holds, ``N`` what it turns into."""

GRAMMAR = """
# plural
kind: map
N: plural|plural form
I: word|noun
topic: plural forms of nouns
make every noun plural
change the singular nouns to plural
say each noun as if there were many
put [each|every] noun in the plural
form the plurals [of these nouns|of the words]
write each thing as more than one
--
make these nouns into plurals
rewrite [each|every] noun in the plural

# singular
kind: map
N: singular|singular form
I: word|plural|noun
topic: singular forms of nouns
make [each|every] word singular
change the plurals to singular forms
rewrite the words in the singular
name just one of each thing
say each plural as if there were one
form the singulars of these nouns
--
put [each|every] word into the singular
say just one thing for each plural

# category
kind: map
N: category|kind|class|group
I: word|item
topic: kinds of things
say what kind of thing each word is
classify [each|every] word
label each item with its category
what type of thing is each of these?
sort each word into its class
write the categories of all the words
--
say which group each item belongs to
list the categories of these things

# young
kind: map
N: young|baby|child
I: animal
topic: the young of animals
name the baby of each animal
say what the little ones are called
give the word for the baby animal
change each grown animal into a baby
make every animal young
tell me the names of the babies
--
list the babies of these animals
what is each animal called as a baby?

# grown
kind: map
N: parent|mother|adult
I: young animal|baby|animal
topic: the grown animals behind young ones
name the grown [animal|one] for [each baby|these babies]
say which animal each little one becomes
give the word for the adult animal
say what each baby is called when it is grown
make every young animal an adult
tell me the parents of the little ones
--
list the parents of these babies
what is each baby called as an adult?

# sound
kind: map
N: sound|noise|call
I: animal
topic: the sounds of animals
say what each animal says
write the noise that each animal makes
what do these animals sound like?
name the call that belongs to each animal
give the word for the sound of the animal
tell me the sounds you hear from the animals
--
list the sounds that these animals make
what noise does each animal make?

# past
kind: map
N: past tense|past form|past
I: verb|word
topic: the past tense of verbs
put [each|every] verb in the past
change the verbs to the past
say each verb as if it happened yesterday
make all verbs past tense
write what was done for each verb
rewrite the verbs in the past
--
move [each|every] verb into the past
list the verbs as they were yesterday

# gerund
kind: map
N: gerund|ing form
I: verb|word
topic: gerunds of verbs
put [each|every] verb in the ing form
write each verb so that it ends in ing
convert the verbs so that they end in ing
say each verb as something that goes on now
rewrite the verbs as things done now
make all verbs gerunds
--
list the verbs with ing at the end
move [each|every] verb into the ing form

# third-person
kind: map
N: third person|he form
I: verb|word
topic: verbs in the third person
put [each|every] verb in the third person
write each verb as it follows he
change the verbs to the form for he or she
say each verb as if she does it
rewrite the verbs for one other person
make all verbs third person
--
list the verbs as for he or she
write what he or she does for each verb

# infinitive
kind: map
N: infinitive|base form
I: verb|word
topic: the base form of verbs
put [each|every] verb back in its base form
write each verb as it follows to
change the verbs from yesterday to their plain form
say each verb as it was before it was changed
rewrite the verbs in the infinitive
make all verbs plain again
--
move each verb of yesterday back to its base form
list the base forms of these words

# comparative
kind: map
N: comparative|comparative form
I: adjective|word
topic: comparatives of adjectives
make [each|every] adjective comparative
compare with each adjective
say more of each adjective
change each word to the form used before than
rewrite the adjectives as comparatives
put more into every adjective
--
put [each|every] adjective into the comparative
write each word as it is used before than

# superlative
kind: map
N: superlative|superlative form|highest form
I: adjective|word
topic: superlatives of adjectives
make [each|every] adjective superlative
say the most of each adjective
change each word to the form for the most
rewrite the adjectives as superlatives
put the most into every adjective
form the superlatives
--
put [each|every] adjective into the superlative
write each word as it is used for the most

# positive
kind: map
N: positive|plain form
I: comparative|adjective|word
topic: plain forms of comparatives
make [each|every] comparative a plain adjective
say less of each comparative
change each word from the form used before than to the plain form
rewrite the comparatives as plain adjectives
take the more out of every comparative
form the plain adjectives
--
put [each|every] comparative back into its plain form
write each word as it was before more was put into it

# adverb
kind: map
N: adverb|adverb form
I: adjective|word
topic: adverbs made from adjectives
make [each|every] adjective an adverb
say in what way for each adjective
change each word so that it tells how
rewrite the adjectives as adverbs
form the adverbs of these words
turn the adjectives into words that tell how
--
make adverbs out of these adjectives
write each adjective as a word for how it is done

# opposite
kind: map
N: opposite|antonym|contrary
I: word
topic: opposites of words
say the contrary of each word
change each word to mean the reverse
name the word that means the contrary
[find|write] [antonyms|opposites] for all the words
turn every word around in meaning
give words that mean the opposite
--
list the opposites of these words
say the word with the opposite meaning for each
"""
