"""Hypothesis strategies for CloudEvents as producers may really write them."""

import string

from hypothesis import strategies as st

from choregos_contract.event import Event

_NONCHARACTERS = [chr(plane + last) for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF)]
_NONCHARACTERS += [chr(code) for code in range(0xFDD0, 0xFDF0)]

values = st.text(
    st.characters(exclude_categories=("Cc", "Cs"), exclude_characters=_NONCHARACTERS) | st.sampled_from('"%\\ é€😀'),
    min_size=1,
    max_size=30,
)
"""Strings that the CloudEvents type system allows."""

extension_names = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=20).filter(
    lambda name: name not in {"data", "id", "source", "type", "specversion", "time", "datacontenttype"}
)
media_types = st.sampled_from(
    ["application/json", "application/json; charset=utf-8", "application/vnd.order+json", "text/plain", "image/png"]
)
times = st.sampled_from(["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.120+02:00", "2016-12-31T23:59:60Z"])


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Events with any attributes and any bytes for data."""
    attributes = {"specversion": "1.0", "id": draw(values), "source": draw(values), "type": draw(values)}
    attributes |= draw(st.dictionaries(extension_names, values, max_size=4))
    attributes |= draw(st.fixed_dictionaries({}, optional={"time": times, "datacontenttype": media_types}))
    data = draw(
        st.binary(max_size=40) | st.sampled_from([b"{}", b'{"a": 1.00, "a": 2}', b'"text"', b" [1]\n", b"1e999"])
    )
    return Event(attributes, data)
