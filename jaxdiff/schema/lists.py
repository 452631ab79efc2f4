"""Splitting one said list into its items: "A, B and C", "(7.25, 3, -1)", '"a, b"; "c"'."""

from __future__ import annotations

import re

from jaxdiff.schema.said_words import FUNCTION_WORDS, stem, stems, words

_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_QUOTED = re.compile(r'"[^"]*"|“[^”]*”|`[^`]*`|(?<![^\s,;\[(])\'[^\']*\'(?![^\s,;\])])')
_AND = re.compile(r"\s+(?:and|or|plus|as well as|along with)\s+", re.IGNORECASE)
_LEADING_AND = re.compile(r"^(?:(?:and|or|plus|then|also|&)\s+)+", re.IGNORECASE)
_AMPERSAND = re.compile(r"\s+[&+]\s+")
_BULLET = re.compile(r"^(?:[-*\u2022]|\d{1,3}[.)])\s+(?=\S)")
_THEN = re.compile(r"\s+(?:and\s+)?then\s+", re.IGNORECASE)
_AROUND = re.compile(r"^(?:only|just|both|either) |,? (?:only|please|too|as well)$", re.IGNORECASE)
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_DEFINITE = re.compile(
    r"(?:^|[,;&]|\band|\bor)\s*(the|my|our|his|her|their) ([^,;&]+?)(?=$|[,;&]|\s+(?:and|or)\s)", re.IGNORECASE
)
_ALL_BUT = re.compile(
    r"\s*(?:[Nn](?:o|ot|either)|[Aa](?:ll|ny|nything)|[Ee]very(?:thing|one|body)?)(?:\s+(?!and\b|or\b)|$)"
)
_MORE_OR_LESS = re.compile(
    r"\b(?:but|except|without|(?<!/)etc|and (?:so on|the (?:rest|like|others?))|maybe|perhaps|possibly|if possible)\b",
    re.IGNORECASE,
)
_RUN = re.compile(r"\d\S* (?:to|through|until|till) -?\d")
_ENDS = re.compile(r"range|interval|limit|bound|between|from|min|max|lower|first")
_AND_A_HALF = re.compile(
    r"(?<=\w) and (?:(?:an?|one|two|three)[ -](?:half|halves|thirds?|quarters?)|\d/\d)\b", re.IGNORECASE
)
_NAMED_WITH_ARTICLE = frozenset(map(stem, ["people", "person", "contact", "place", "title"]))
_HELD = "\ue000"  # private use: stands for a separator that belongs to an item


def split_list(text: str, numeric: bool, name: str = "") -> list[str]:
    """The items of a list said in one go, in order, stripped, without empty ones.

    numeric: the items are numbers, so that spaces, slashes and "to" may separate them too.
    name: what the list is called; "tags a and b" for `tags` are two items without the word.
    """
    text = _without_brackets(text.strip())
    held: list[str] = []

    def hold(match: re.Match[str]) -> str:
        held.append(match[0])
        return f"{_HELD}{len(held) - 1}{_HELD}"

    text = _QUOTED.sub(hold, _AROUND.sub("", text))
    if len(name) > 3:
        text = re.sub(rf"^(?:the )?{re.escape(name.removesuffix('s'))}s? (?=\S)", "", text, flags=re.IGNORECASE)
    if numeric:
        text = _AND_A_HALF.sub(hold, text)
    if re.search(r",\s|\band\b|\bor\b", text) or text.count(",") == 1 or not numeric or ",000" in text:
        text = _GROUPED.sub(hold, text)
    parts = _split(text, numeric)
    parts = [re.sub(f"{_HELD}(\\d+){_HELD}", lambda match: held[int(match[1])], part) for part in parts]
    if numeric:
        return [part.replace(_HELD, "") for part in _share_unit(parts)]
    return [item for part in parts if (item := _item(part))]


def has_unclear_items(text: str, name: str, description: str) -> bool:
    """Whether a list of strings says "all", "no ..." or an item that may be called otherwise than it is said.

    "The babysitter" may be the whole name of a contact, "the UN list" the list "UN", "my son Idris" only "Idris".
    """
    if _ALL_BUT.match(text) or _MORE_OR_LESS.search(_QUOTED.sub("", text)):
        return True
    asked = {stem(word) for word in words(f"{name} {description}") if word not in FUNCTION_WORDS}
    for article, said in _DEFINITE.findall(text):
        if article.lower() != "the":
            return True
        # "The tags red and blue" for `tags` is clear.
        if stems(said)[:1] != stems(name) and (asked & _NAMED_WITH_ARTICLE or asked & set(stems(said))):
            return True
    return False


def has_unclear_numbers(text: str, whole: bool, name: str, description: str) -> bool:
    """Whether a list of numbers says "all but ..." or a run of whole numbers of which only the ends are named.

    "5 to 10" are two numbers where limits are asked for, or where there is no next one.
    """
    if _ALL_BUT.match(text):
        return True
    return whole and bool(_RUN.search(text)) and not _ENDS.search(f"{name} {description}".lower())


def _split(text: str, numeric: bool) -> list[str]:
    if "\n" in text or ";" in text:
        parts = [_BULLET.sub("", line.strip()) for line in re.split(r"[\n;]", text)]
    elif "," in text:
        parts = text.split(",")
        parts[-1:] = _AND.split(parts[-1]) if _AND.search(parts[-1]) else _AMPERSAND.split(parts[-1])
    elif _AND.search(text):
        parts = _AND.split(text)
    elif _AMPERSAND.search(text):
        parts = _AMPERSAND.split(text)
    elif _THEN.search(text):
        parts = _THEN.split(text)
    elif numeric:
        parts = _split_numbers(text)
    else:
        parts = [text]
    stripped = (_LEADING_AND.sub("", part.strip()).strip() for part in parts)
    return [part for part in stripped if part]


def _split_numbers(text: str) -> list[str]:
    number = r"-?\d+(?:\.\d+)?"
    if match := re.fullmatch(rf"(?:from )?({number}) (?:to|through|until|x|by) ({number})( \D+)?", text):
        return [match[1] + (match[3] or ""), match[2] + (match[3] or "")]
    for separator in (r"\s+", r"\s*/\s*", r"-", r"\s*x\s*", r"\s*:\s*"):
        parts = re.split(separator, text)
        if len(parts) > (2 if separator == "-" else 1) and all(re.fullmatch(number, part) for part in parts):
            return parts
    return [text]


def _share_unit(parts: list[str]) -> list[str]:
    """ "5, 10 and 15 km": the unit behind the last number is that of all."""
    match = re.fullmatch(r"\S*\d\s*([^\W\d_][^\d]*|%)", parts[-1]) if len(parts) > 1 else None
    if match and all(re.fullmatch(r"[+-]?[\d.,]*\d", part) for part in parts[:-1]):
        return [f"{part} {match[1]}" for part in parts[:-1]] + parts[-1:]
    return parts


def _without_brackets(text: str) -> str:
    while len(text) > 1 and _BRACKETS.get(text[0]) == text[-1] and text[0] not in text[1:]:
        text = text[1:-1].strip()
    return text


def _item(part: str) -> str:
    return re.sub(r"^(?:the|an?) (?=\S)", "", part)
