import datetime
import ipaddress
import itertools
from urllib.parse import urlsplit

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.errors import UnsupportedLanguage
from jaxdiff.schema.languages.formats import FORMATS, format_language

INSIDE = {
    "date": ["2024-02-29", "2000-02-29", "1999-12-31", "0001-01-01"],
    "time": ["23:59:59Z", "08:30:06.283185Z", "12:00:00+05:30"],
    "date-time": ["1985-04-12T23:20:50.52Z", "1996-12-19T16:39:57-08:00"],
    "duration": ["P4DT12H30M5S", "P4Y", "PT0S", "P1M", "PT36H", "P1DT12H", "P2W"],
    "email": ["joe.bloggs@example.com", "te~st@example.com", "a+b@x"],
    "hostname": ["www.example.com", "hostname", "h0stn4me", "host-name", "a"],
    "ipv4": ["192.168.0.1", "0.0.0.0", "255.255.255.255"],
    "ipv6": ["::1", "::", "12:34:56:78:9a:bc:de:f0", "::ffff:192.168.0.1", "d6::", "1::d6:192.168.0.1",
             "1:2:3:4:5:6:7::"],
    "uri": ["http://foo.bar/?baz=qux#quux", "urn:oasis:names:tc", "mailto:John.Doe@example.com", "tel:+1-816-555-1212",
            "http://-.~_!$&'()*+,;=:%40:80%2f::::::@example.com", "http://x:8080/a/b"],
    "uri-reference": ["/abc", "abc", "//foo.bar/?baz", "#frag", "", "http://foo.bar"],
    "iri": ["http://ƒøø.ßår/?∂éœ=πîx#πîüx"],
    "iri-reference": ["âππ", "#ƒrägmênt"],
    "uri-template": ["http://example.com/dictionary/{term:1}/{term}", "dictionary/{?a,b*}"],
    "uuid": ["2EB8AA08-AA98-11EA-B4AA-73B441D16380", "2eb8aa08-aa98-11ea-b4aa-73b441d16380"],
    "json-pointer": ["", "/foo/bar~0/baz~1/%a", "/", "/foo//bar", "/ "],
    "relative-json-pointer": ["1", "0/foo/bar", "2/0/baz/1/zip", "0#"],
    "regex": ["^[a-z]+$", "a.*b", r"\d+", ""],
    "idn-email": ["a@b.c"],
    "idn-hostname": ["example.org"],
}  # fmt: skip
OUTSIDE = {
    "date": ["2023-02-29", "1900-02-29", "2024-04-31", "0000-01-01", "2024-1-01", "2024-02-29 ", "2024-13-01",
             "২০২৪-01-01"],
    "time": ["24:00:00Z", "12:00:00", "12:00Z", "08:30:06 PST", "23:59:60Z", "12:00:00+24:00"],
    "date-time": ["1990-02-31T15:59:59.123-08:00", "2013-350T01:01:01", "1963-06-19 08:30:06Z"],
    "duration": ["P", "PT", "P1D2H", "P2D1Y", "P1", "P0.5Y", "P1YT", "P1Y2W", "PT1D", "P1Y2D"],
    "email": ["2962", ".test@example.com", "te..st@example.com", "a@", "@a", "a@-b", "x" * 65 + "@a.b", "a@b@c"],
    "hostname": ["-a-host", "host-", "not_valid", "", ".example", "example.", "a..b", "xn--X", "a" * 64],
    "ipv4": ["256.1.1.1", "127.0.0", "087.10.0.1", "0x7f.1.1.1", "1.2.3.4.5"],
    "ipv6": ["12345::", ":2:3:4:5:6:7:8", "1::2::3", "1:2:3:4:5:6:7", "::%eth0", "1:2:3:4:5:6:7:8:9", "::1.2.3.400",
             ":"],
    "uri": ["//foo.bar", "/abc", "http:// x", ":// x", "bar,://", "http://[::1", "a:%zz", ""],
    "uuid": ["2eb8aa08-aa98-11ea-b4aa73b441d16380", "2eb8aa08-aa98-11ea-b4aa-73b441d1638g", ""],
    "json-pointer": ["/foo/bar~", "a", "/~2"],
    "relative-json-pointer": ["/foo", "-1", "01", "+1"],
    "regex": ["^(abc]", "*a", "[b-a]"],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_formats_hold_what_the_standards_allow_and_no_more(name):
    found = format_language(name)
    assert [text for text in INSIDE[name] if not found.accepts(text)] == []
    assert [text for text in OUTSIDE.get(name, []) if found.accepts(text)] == []


@pytest.mark.parametrize("name", ["date", "ipv4", "ipv6", "uuid", "email", "regex"])
def test_a_validator_agrees_with_every_example(name):
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    assert name in checker.checkers
    for text in itertools.islice(format_language(name).examples(), 3000):
        checker.check(text, name)


@settings(max_examples=300, deadline=None)
@given(
    st.dates()
    | st.sampled_from([datetime.date(y, m, d) for y in (1900, 2000, 2024, 2100) for m, d in [(2, 28), (3, 1)]])
)
def test_every_date_is_one_and_no_other_day_is(date):
    found = format_language("date")
    assert found.accepts(date.isoformat())
    for day in range(28, 33):
        text = date.isoformat()[:8] + str(day)
        try:
            datetime.date.fromisoformat(text)
            real = True
        except ValueError:
            real = False
        assert found.accepts(text) is real


@settings(max_examples=300, deadline=None)
@given(st.ip_addresses())
def test_every_address_is_one(address):
    assert format_language(f"ipv{address.version}").accepts(str(address))
    if address.version == 6:
        assert format_language("ipv6").accepts(address.exploded)


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789abf:.", max_size=24))
def test_no_other_text_is_an_address(text):
    for name, kind in (("ipv4", ipaddress.IPv4Address), ("ipv6", ipaddress.IPv6Address)):
        try:
            kind(text)
            real = True
        except ValueError:
            real = False
        assert format_language(name).accepts(text) is real


def test_uris_have_a_scheme():
    assert all(urlsplit(text).scheme for text in itertools.islice(format_language("uri").examples(), 2000))


def test_an_unknown_format_is_named():
    with pytest.raises(UnsupportedLanguage, match="'colour'"):
        format_language("colour")
