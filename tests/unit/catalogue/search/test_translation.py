"""German, Spanish and French searches in English words."""

import pytest

from catalogue.search.translation import in_english, language_of
from catalogue.search.words import words


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Wer schreibt mir eine Rechnung?", "german"),
        ("¿Quién me escribe una factura?", "spanish"),
        ("qui peut écrire une facture pour nous", "french"),
        ("who writes an invoice for us", None),
        ("die cast mold for a pan in aluminium", None),
        ("invoice", None),
        ("", None),
    ],
)
def test_the_language_is_that_of_the_small_words(text: str, language: str | None) -> None:
    assert language_of(words(text)) == language


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("Ich habe keine Rechnungen", "bill invoice calculation"),
        ("eine Kundenumfrage bitte", "client customer survey questionnaire"),
        ("una hoja de cálculo", "spreadsheet"),
        ("les factures de la boulangerie", "bill charge invoice bakery"),
        ("der Xylograph", "xylograph"),
    ],
)
def test_words_are_translated_with_their_forms_compounds_and_phrases(text: str, english: str) -> None:
    assert set(in_english(text).split()) == set(english.split())


@pytest.mark.parametrize("text", ["write a blog post", "la", "der die das", "", "🙂", "en"])
def test_english_and_unclear_texts_stay_as_they_are(text: str) -> None:
    assert in_english(text) == text
