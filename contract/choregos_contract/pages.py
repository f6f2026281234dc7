"""JetStream's lists, which it hands out in pages.

No I/O of its own: `ask` sends one request, as in `wire`. A list of a stream that is not there, or not any more, is at its
end. What is longer than anything that we make is no list to go by: half of it would be taken for all.
"""

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from choregos_contract.wire import STREAM_NOT_FOUND, Ask, JetStreamError, request

MOST_PAGES: Final = 1000
"""Pages that are read of one list: servers that are not ours may promise ever more."""

Page = dict[str, Any]


class ListTooLong(Exception):  # noqa: N818  named by what it means for the caller
    """NATS tells of more than is ever there. Its text is a sentence, `mend` the way out."""

    mend: Final = "remove what is not needed, or mend the NATS servers"

    def __init__(self, what: str) -> None:
        super().__init__(f"NATS tells of more than {MOST_PAGES} pages of {what}")


def durable_pages(ask: Ask, stream: str) -> AsyncIterator[Page]:
    """Yield the pages of a stream's durables, as `consumers` and `missing`; raises JetStreamError, ListTooLong."""
    return _pages(ask, stream, "CONSUMER.LIST", {}, f"the durables of {stream}")


def subject_pages(ask: Ask, stream: str, subjects: str) -> AsyncIterator[Page]:
    """Yield what a stream is, each time with a page of how much it holds below some of its subjects.

    Raises JetStreamError, ListTooLong.
    """
    return _pages(ask, stream, "STREAM.INFO", {"subjects_filter": subjects}, f"the subjects of {stream}")


def subject_counts(page: Page) -> dict[str, int]:
    """Return the messages by subject that a page of subjects tells of."""
    return page["state"].get("subjects") or {}


async def _pages(ask: Ask, stream: str, request_of: str, body: dict[str, Any], what: str) -> AsyncIterator[Page]:
    offset = 0
    for _ in range(MOST_PAGES):
        wish = msgspec.json.encode({**body, "offset": offset})
        try:
            page = await request(ask, f"stream {stream}", f"{request_of}.{stream}", wish)
        except JetStreamError as error:
            if error.err_code == STREAM_NOT_FOUND:
                return
            raise
        yield page
        offset += max(page.get("limit", 0), 1)
        if offset >= page.get("total", 0):
            return
    raise ListTooLong(what)
