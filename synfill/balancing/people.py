"""Whether a prompt names people. Pure text.

Words such as "black", "baby" or "nurse" name people in one place ("a photo of a nurse") and
something else in another ("nurse shark", "black bear"): it is the noun at the end of its phrase
that counts.
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Names a person wherever it stands, also before another noun ("a woman doctor").
_ALWAYS = _words("""
    person persons people man men woman women boy boys girl girls human humans gentleman gentlemen
    teenager teenagers toddler toddlers grandmother grandfather mother father policeman policewoman
    fireman firefighter businessman businesswoman
""")
# Names a person at the end of its phrase only: "a baby", but "a baby elephant", "a child seat".
_AT_THE_END = _words("""
    child children kid kids baby babies infant infants adult adults teen teens elder elders lady
    ladies face faces portrait selfie crowd doctor nurse surgeon dentist teacher student pupil
    farmer soldier worker scientist engineer lawyer judge chef cook waiter waitress athlete player
    ballplayer dancer singer actor actress model bride groom bridegroom diver swimmer runner cyclist
    pilot secretary nun monk priest pedestrian customer tourist couple family son daughter brother
    sister husband wife
""")
# Describes a person, and names one where no noun follows: "a photo of a female".
_DESCRIBES = _words("""
    male males female females elderly asian asians african africans indian indians european
    europeans american americans arab arabs latino latinos latina latinas hispanic hispanics
    caucasian caucasians middle-eastern
""")
# What may stand after a noun without being the noun that is meant.
_AFTER = _words("""
    a an the and or but in on at of with without within from near by to for under over behind beside
    between against inside outside who that which is are as like while his her their
""")
_BEFORE = _words("""
    a an the one two three some several and or of very old young elderly adult east south southeast
    north west black white latino
""")
_PARTS = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[^\w\s]")
_BRACKETS = re.compile(r"\([^()]*\)")


def names_people(text: str) -> bool:
    """Whether a prompt, or the name of a class, names people.

    Args:
        text: "a photo of an old woman, close-up".
    """
    plain = text.replace("_", " ").lower().replace("middle eastern", "middle-eastern")
    if not _ALWAYS.isdisjoint(_PARTS.findall(plain)):
        return True
    # What is in brackets describes what stands before: "Northern Cardinal (Adult Male)".
    parts = ["", *_PARTS.findall(_BRACKETS.sub(" , ", plain)), ""]
    for before, part, following in zip(parts, parts[1:], parts[2:], strict=False):
        if part in _AT_THE_END and (_ends(following) or following.endswith("ing")):
            return True
        begins = not before[:1].isalnum() or before in _BEFORE
        if part in _DESCRIBES and begins and _ends(following):
            return True
    return False


def _ends(following: str) -> bool:
    """Whether a phrase ends before this word."""
    return not following[:1].isalnum() or following in _AFTER or following in _AT_THE_END
