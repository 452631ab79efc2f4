"""JSON Schema's `format` as automata: texts that the named standard allows, not always all of them."""

from __future__ import annotations

from functools import lru_cache

from jaxdiff.errors import UnsupportedLanguage
from jaxdiff.schema.languages.dfa import Dfa
from jaxdiff.schema.languages.patterns import pattern_language

# RFC 3339. Leap seconds are left out: whether one exists is not said by the text.
_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DATE = (
    "(?!0000)(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = f"{_CLOCK}:[0-5][0-9](?:\\.[0-9]{{1,6}})?(?:Z|[+-]{_CLOCK})"
# ISO 8601 durations as RFC 3339, appendix A, has them: no fractions, and units follow one another without a gap.
_DURATION_TIME = "T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
_DURATION_DATE = "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"
_DURATION = f"P(?:{_DURATION_DATE}(?:{_DURATION_TIME})?|{_DURATION_TIME}|[0-9]+W)"
# RFC 1123. A whole name of 63 characters keeps each label within its limit; "--" is for encoded names (RFC 5890).
_LABEL = "[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*"
_HOST = f"(?=[A-Za-z0-9.-]{{1,63}}$){_LABEL}(?:\\.{_LABEL})*"
# RFC 5321, without quoted parts and address literals.
_ATEXT = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_EMAIL = f"(?=[^@]{{1,64}}@){_ATEXT}(?:\\.{_ATEXT})*@{_HOST}"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = f"(?:{_BYTE}\\.){{3}}{_BYTE}"
# RFC 4291, section 2.2.
_H16 = "[0-9A-Fa-f]{1,4}"
_LS32 = f"(?:{_H16}:{_H16}|{_IPV4})"
_IPV6 = (
    "(?:"
    + "|".join(
        [f"(?:{_H16}:){{6}}{_LS32}", f"::(?:{_H16}:){{5}}{_LS32}"]
        + [f"(?:(?:{_H16}:){{0,{n}}}{_H16})?::(?:{_H16}:){{{4 - n}}}{_LS32}" for n in range(5)]
        + [f"(?:(?:{_H16}:){{0,5}}{_H16})?::{_H16}", f"(?:(?:{_H16}:){{0,6}}{_H16})?::"]
    )
    + ")"
)
_UUID = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"


def _uri(letters: str, relative: bool) -> str:
    """RFC 3986; with letters beyond ASCII, RFC 3987. Addresses in brackets are left out."""
    coded = "%[0-9A-Fa-f]{2}"
    plain = f"A-Za-z0-9{letters}._~!$&'()*+,;="
    segment = f"(?:[{plain}:@-]|{coded})"
    authority = f"(?:(?:[{plain}:-]|{coded})*@)?(?:[{plain}-]|{coded})+(?::[0-9]{{1,5}})?(?:/{segment}*)*"
    rooted = f"/(?:{segment}+(?:/{segment}*)*)?"
    tail = f"(?:\\?(?:{segment}|[/?])*)?(?:#(?:{segment}|[/?])*)?"
    absolute = f"[A-Za-z][A-Za-z0-9+.-]*:(?://{authority}|{rooted}|{segment}+(?:/{segment}*)*){tail}"
    if not relative:
        return absolute
    first = f"(?:[{plain}@-]|{coded})+"
    return f"(?:{absolute}|(?://{authority}|{rooted}|{first}(?:/{segment}*)*)?{tail})"


# Letters of RFC 3987 that lie in the first plane.
_UCS = "\\u00a0-\\ud7ff\\uf900-\\ufdcf\\ufdf0-\\uffef"
_POINTER = "(?:/(?:[^~/]|~[01])*)*"
_VARIABLE = "[A-Za-z0-9_]+(?:\\.[A-Za-z0-9_]+)*(?:\\*|:[1-9][0-9]{0,3})?"
_UNITS = (
    "(?:[A-Za-z0-9 _,;:!@#%&=<>~/\"'-]|\\\\[dws.+*?()|\\[\\]{}^$\\\\/]|\\."
    "|\\[\\^?(?:[a-z]-z|[A-Z]-Z|[0-9]-9|[A-Za-z0-9_.])+\\])[*+?]?"
)

_FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": _DURATION,
    "email": _EMAIL,
    "idn-email": _EMAIL,
    "hostname": _HOST,
    "idn-hostname": _HOST,
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "uri": _uri("", False),
    "uri-reference": _uri("", True),
    "iri": _uri(_UCS, False),
    "iri-reference": _uri(_UCS, True),
    "uri-template": f"(?:[A-Za-z0-9._~/?#:@!$&()*+,;=-]|\\{{[+#./;?&]?{_VARIABLE}(?:,{_VARIABLE})*\\}})*",
    "uuid": _UUID,
    "json-pointer": _POINTER,
    "relative-json-pointer": f"(?:0|[1-9][0-9]*)(?:#|{_POINTER})",
    "regex": f"\\^?(?:{_UNITS})*\\$?",
}
FORMATS = frozenset(_FORMATS)


@lru_cache(maxsize=64)
def format_language(name: str) -> Dfa:
    """Texts of one of `FORMATS`. Raises UnsupportedLanguage for any other."""
    pattern = _FORMATS.get(name)
    if pattern is None:
        raise UnsupportedLanguage(name, f"it is none of the formats {', '.join(sorted(FORMATS))}")
    return pattern_language(f"^(?:{pattern})$")
