"""The English names of units of measure, from the Unicode CLDR: "centimetres", "cm" and "centimeter" are one."""

from __future__ import annotations

import re
from functools import lru_cache

from jaxdiff.schema.units import said_unit

_LEADING = re.compile(r"^(?:(?:in|of|per|by the|the|a|an|each) )+")


@lru_cache(maxsize=16384)
def named_units(text: str) -> frozenset[object]:
    """The units that `text` names, each as what is equal for equal units; empty where it names none.

    A short form may stand for several ("m": metres and minutes).
    """
    plain = " ".join(text.casefold().split())
    found: set[object] = set()
    for name in {plain, _LEADING.sub("", plain)}:
        found |= _names().get(name, set())
        own = said_unit((name,))
        if own is not None:
            found.add(own)
    return frozenset(found)


@lru_cache(maxsize=16384)
def foreign_unit(words: tuple[str, ...], field_words: str) -> bool:
    """Whether `words` (lower case, behind a number) open with a unit that is none of those in a field's words.

    Counts ("items", "percent"), degrees of an angle and pixels are foreign nowhere: there is little else to ask for.
    """
    joined = (" ".join(words[:3]), " ".join(words[:2]), "".join(words[:2]), words[0] if words else "")
    said = next((found for name in joined if (found := _names().get(name))), None)
    if said is None and words[:1] in (("c",), ("f",), ("k",)) and "temperature" in " ".join(_units_in(field_words)):
        said = _names()[f"°{words[0]}"]
    if said is None or any(unit.startswith(("concentr-", "graphics-", "angle-degree")) for unit in said):
        return False
    return not said & _units_in(field_words)


@lru_cache(maxsize=16384)
def _units_in(text: str) -> frozenset[str]:
    """The identifiers of all units that are named somewhere in a text."""
    parts = re.split(r"[\s,;:()\[\]]+|\.(?!\w)", text.casefold())
    runs = (" ".join(parts[i : i + size]) for size in (1, 2, 3) for i in range(len(parts)))
    return frozenset(unit for run in runs for unit in _names().get(run, ()))


@lru_cache(maxsize=1)
def _names() -> dict[str, set[str]]:
    """Name in lower case -> identifiers of the CLDR, in American and British spelling, singular and plural."""
    from babel import Locale
    from babel.units import format_unit

    names: dict[str, set[str]] = {}
    for locale in (Locale("en"), Locale("en", "GB")):
        for unit, forms in locale.unit_display_names.items():
            said = {str(form) for form in forms.values()}
            said |= {format_unit(1, unit, length, locale=locale)[1:] for length in ("long", "short")}
            said.add(unit.partition("-")[2].replace("-", " "))
            for name in said:
                names.setdefault(name.strip().casefold(), set()).add(unit)
    return names
