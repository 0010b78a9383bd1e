import pytest

from synfill.balancing.people import names_people

PEOPLE = [
    "a photo of a woman", "a photo of an old man", "an Asian woman, close-up", "a photo of a nurse",
    "a photo of a doctor, seen from a distance", "a photo of a child in the rain", "old woman",
    "a photo of a person", "people on a street", "a black man", "a white woman smiling",
    "a photo of a female", "a photo of an Asian", "East Asian", "Middle Eastern", "Latino_Hispanic",
    "a portrait, in soft light", "a baby with a ball", "boys playing football", "a female doctor",
    "a photo of an elderly person", "a teenager's room with a teenager", "a woman doctor",
    "a photo of a young male", "scuba diver", "ballplayer", "a photo of a bridegroom", "human face",
    "a photo of a middle-aged man", "face", "a photo of a smiling girl", "a policeman",
]  # fmt: skip
NO_PEOPLE = [
    "a photo of a white-tailed deer", "a photo of a black bear", "a photo of an Asian elephant",
    "an old tree", "a photo of a young goat", "a photo of a nurse shark", "a baby elephant",
    "African elephant", "Indian cobra, coiled", "European rabbit", "a photo of a white wolf",
    "black-and-white warbler", "Black_footed_Albatross", "American crow", "a child seat",
    "a lady beetle", "Portuguese man-of-war", "old man's beard", "a photo of a monk seal",
    "a face mask", "Northern Cardinal (Adult Male)", "Northern Cardinal (Female)",
    "mallard male, water background", "a photo of a female mallard", "a manhole cover", "a mantis",
    "a photo of a black", "human-made lake", "a king penguin", "Caucasian shepherd dog",
    "groom's cake",
    "African hunting dog", "a model airplane", "a cook book", "a photo of an American robin",
    "a photo of a 3, red ink", "a photo of a truck", "boycott", "a photo of a male lion",
]  # fmt: skip


@pytest.mark.parametrize("text", PEOPLE)
def test_people(text):
    assert names_people(text)


@pytest.mark.parametrize("text", NO_PEOPLE)
def test_no_people(text):
    assert not names_people(text)
