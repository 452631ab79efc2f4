"""Names of countries, languages and currencies -> the ISO codes that a field's description asks for."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from functools import lru_cache


class Code(StrEnum):
    """A kind of code: ISO 3166-1 alpha-2 and alpha-3, ISO 639-1, ISO 4217."""

    COUNTRY = "country"
    COUNTRY_3 = "country, three letters"
    LANGUAGE = "language"
    CURRENCY = "currency"


_COMMON_NAMES = {
    Code.COUNTRY: {
        "czech republic": "CZ", "turkey": "TR", "uk": "GB", "great britain": "GB", "britain": "GB", "usa": "US",
        "america": "US", "united states of america": "US", "holland": "NL", "ivory coast": "CI", "uae": "AE",
    },
    Code.LANGUAGE: {"farsi": "fa", "mandarin": "zh", "flemish": "nl"},
    Code.CURRENCY: {"pounds sterling": "GBP", "pound sterling": "GBP", "sterling": "GBP", "renminbi": "CNY"},
}  # fmt: skip
_COUNTRY = re.compile(r"countr|territor|nation|jurisdiction|3166")
_LANGUAGE = re.compile(r"language|locale|\blang\b|639")
_CURRENCY = re.compile(r"currenc|4217")
_THREE = re.compile(r"three[- ]letter|3-letter|alpha-3")
_ASKS = re.compile(
    r"(?:two|three|2|3)[- ]letter|\biso\b.*\bcodes?\b|\bcodes?\b.*\biso\b|alpha-[23]|\b(?:3166|639|4217)\b|"
    r"(?:currency|language) codes?\b|\bcodes? of (?:the |a )?(?:currency|language)\b"
)


@lru_cache(maxsize=65536)
def asked_code(name: str, description: str) -> Code | None:
    """Which code a string field asks for; None for other strings."""
    words = description.lower()
    if not _ASKS.search(words) or re.search(r"\bor (?:the |its |full )?name|\bname or\b", words):
        return None
    # The name is the more telling: "language of the country" is a language.
    for source in (name.lower(), words):
        found = [(match.start(), code) for code, pattern in _patterns() if (match := pattern.search(source))]
        if found:
            code = min(found)[1]
            return Code.COUNTRY_3 if code is Code.COUNTRY and _THREE.search(words) else code
    return None


def write_code(text: str, code: Code, description: str = "") -> str | None:
    """The code of what `text` names ("the Netherlands", "in Swiss francs"); None for unknown names.

    A code stays as it is. The letters are lower case where the description gives a lower-case example.
    """
    size = 2 if code in (Code.COUNTRY, Code.LANGUAGE) else 3
    text = text.strip()
    if re.fullmatch(rf"[A-Za-z]{{{size}}}", text) and text.upper() in _known_codes(code):
        return text
    if match := re.search(rf"\(([A-Z]{{{size}}})\)|\b(?:in|code) ([A-Z]{{{size}}})$", text):
        return match[1] or match[2]
    found = _names(code).get(_fold(re.sub(r"^(?:in |into |to |from )?(?:the )?", "", text)))
    if found is None:
        return None
    return found.lower() if re.search(rf"'[a-z]{{{size}}}'", description) else found


def _patterns() -> tuple[tuple[Code, re.Pattern[str]], ...]:
    return (Code.COUNTRY, _COUNTRY), (Code.LANGUAGE, _LANGUAGE), (Code.CURRENCY, _CURRENCY)


def _fold(name: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return re.sub(r"[\s\-]+", " ", plain.replace("&", "and").replace(".", "")).strip().casefold()


@lru_cache(maxsize=4)
def _known_codes(code: Code) -> frozenset[str]:
    return frozenset(value.upper() for value in _names(code).values())


@lru_cache(maxsize=4)
def _names(code: Code) -> dict[str, str]:
    """Folded English name -> code, from the Unicode CLDR."""
    from babel import Locale
    from babel.core import get_global
    from babel.numbers import get_currency_name, is_currency

    english = Locale("en")
    names: dict[str, str] = {}
    if code in (Code.COUNTRY, Code.COUNTRY_3):
        for alpha2, name in english.territories.items():
            if len(alpha2) == 2 and alpha2.isalpha():
                for part in re.split(r"[()]", name.replace(" SAR China", "")):
                    names.setdefault(_fold(part), alpha2)
        names |= _COMMON_NAMES[Code.COUNTRY]
        if code is Code.COUNTRY_3:
            aliases = get_global("territory_aliases")
            alpha3 = {new[0]: old for old, new in aliases.items() if len(old) == 3 and old.isalpha() and len(new) == 1}
            names = {name: alpha3[alpha2] for name, alpha2 in names.items() if alpha2 in alpha3}
    elif code is Code.LANGUAGE:
        names = {_fold(name): key for key, name in english.languages.items() if len(key) == 2}
        names |= _COMMON_NAMES[code]
    else:
        current = {key: name for key, name in english.currencies.items() if is_currency(key) and "(" not in name}
        last_words: dict[str, set[str]] = {}
        for key, name in current.items():
            for form in (name, get_currency_name(key, count=2, locale=english)):
                names.setdefault(_fold(form), key)
                last_words.setdefault(_fold(form).split()[-1], set()).add(key)
        # "yen" and "zloty" name one currency, "dollars" and "francs" do not.
        names |= {word: keys.pop() for word, keys in last_words.items() if len(keys) == 1 and word not in names}
        names |= _COMMON_NAMES[code]
    return names
