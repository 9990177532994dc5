"""Verbs with their forms."""

from __future__ import annotations

from inference_worker.testbed.lexicon.parsing import rows

# Base form, past, gerund.
VERBS: tuple[tuple[str, ...], ...] = rows("""
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


def third_person(verb: str) -> str:
    """The form used after he, she or it."""
    if verb.endswith(("ch", "sh", "s", "x", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"


PASTS: dict[str, str] = {verb: past for verb, past, _ in VERBS}
GERUNDS: dict[str, str] = {verb: gerund for verb, _, gerund in VERBS}
THIRD_PERSONS: dict[str, str] = {verb: third_person(verb) for verb, _, _ in VERBS}
INFINITIVES: dict[str, str] = {past: verb for verb, past, _ in VERBS}
