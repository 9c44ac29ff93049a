"""What somebody looks for in events: words, "phrases" and beginnings*, all of which must occur.

Of what is looked through, ``parts`` tells the words that stand in others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from eventbus.errors import SearchTextError
from eventbus.validation import shown

MOST_TERMS = 16
# A beginning of one letter would be merged from a large part of the index.
LEAST_PREFIX_CHARS = 2

_TERM = re.compile(r'"(?P<phrase>[^"]*)"(?P<star>\*?)|(?P<word>[^\s"]+)')
# As SQLite's tokenizer unicode61 splits a text: letters and digits are a word, the rest is not.
_TOKEN = re.compile(r"[^\W_]+")
# RateLimitError, HTTPError, maxRetries: what stands at a seam, and the seams of one word.
_AT_SEAM = re.compile(r"[a-z0-9][A-Z]|[A-Z][A-Z][a-z]")
SEAM = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# Longer ones are no words of people, and of so many nobody wants the parts: base64 and the like.
_LONGEST_JOINED = 64
_MOST_JOINED = 200


@dataclass(frozen=True, slots=True)
class Term:
    """Words that follow each other; ``is_prefix``: the last one may go on."""

    tokens: tuple[str, ...]
    is_prefix: bool = False

    @property
    def match(self) -> str:
        """The term in FTS5's query language, in which no character of it means anything."""
        return f'"{" ".join(self.tokens)}"{" *" if self.is_prefix else ""}'


@dataclass(frozen=True, slots=True)
class Words:
    """A text to look for, taken apart."""

    terms: tuple[Term, ...]

    @classmethod
    def parse(cls, text: str) -> Words:
        """``text`` as people type it; raises SearchTextError, which says what is wrong with it.

        Words stand apart by spaces, a phrase in double quotes, and a ``*`` at the end of either
        lets its last word go on. Case does not matter. ``eval-42`` is the phrase ``"eval 42"``.
        """
        if text.count('"') % 2:
            raise SearchTextError(f"{shown(text)} has a quote that is not closed")
        terms = tuple(_term(found) for found in _TERM.finditer(text))
        if not terms:
            raise SearchTextError("is empty: write a word to look for")
        if len(terms) > MOST_TERMS:
            raise SearchTextError(
                f"has {len(terms)} words and phrases; at most {MOST_TERMS} can be looked for"
            )
        return cls(terms)

    @property
    def match(self) -> str:
        """All terms in FTS5's query language."""
        return " ".join(term.match for term in self.terms)

    @property
    def contained(self) -> Iterable[str]:
        """Parts that a text with all these words contains, ASCII letters in any case."""
        return [token for term in self.terms for token in term.tokens if token.isascii()]

    @property
    def can_widen(self) -> bool:
        """Whether some term could also be looked for as a beginning."""
        return any(
            not term.is_prefix and len(term.tokens[-1]) >= LEAST_PREFIX_CHARS for term in self.terms
        )

    @property
    def widened(self) -> str:
        """The text that looks for every term as a beginning."""
        return " ".join(
            f'"{" ".join(term.tokens)}"*' if len(term.tokens) > 1 else f"{term.tokens[0]}*"
            for term in self.terms
        )


def parts(text: str) -> str:
    """The parts of all words that are written together, ``Rate Limit Error``; "" when none is.

    What ``snake_case`` joins stands apart already: the sign between is no part of a word.
    """
    found: list[str] = []
    end = 0
    for seam in _AT_SEAM.finditer(text):
        start = seam.start()
        if start < end:
            continue  # of the same word
        while start > end and text[start - 1].isalnum():
            start -= 1
        word = _TOKEN.match(text, start)
        assert word is not None, "a seam is between letters"
        end = word.end()
        if end - start <= _LONGEST_JOINED:
            found.append(SEAM.sub(" ", word[0]))
            if len(found) == _MOST_JOINED:
                break
    return " ".join(found)


def _term(found: re.Match[str]) -> Term:
    text = found["phrase"] if found["word"] is None else found["word"]
    is_prefix = text.endswith("*") if found["word"] is not None else bool(found["star"])
    tokens = tuple(_TOKEN.findall(text))
    if not tokens:
        raise SearchTextError(
            f"{shown(found[0])} has no letter or digit; words are looked for, not signs"
        )
    if is_prefix and len(tokens[-1]) < LEAST_PREFIX_CHARS:
        raise SearchTextError(
            f"{shown(found[0])} is too short a beginning: at least {LEAST_PREFIX_CHARS} letters "
            "must stand before the *"
        )
    return Term(tokens, is_prefix)
