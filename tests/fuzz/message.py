"""Headers and a body out of bytes: header lines, an empty line, the body."""

from collections.abc import Iterable

Headers = list[tuple[str, str]]


def parse(data: bytes) -> tuple[Headers, bytes]:
    """Read headers as aiohttp and nats-py hand them over: raw bytes come as lone surrogates."""
    head, _, body = data.partition(b"\n\n")
    lines = head.decode(errors="surrogateescape").split("\n")
    return [
        (name.strip(), value.strip()) for name, colon, value in (line.partition(":") for line in lines) if colon
    ], body


def render(headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """Write what `parse` reads."""
    return "\n".join(f"{name}: {value}" for name, value in headers).encode() + b"\n\n" + body


REQUIRED = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "OrderPlaced"}
BINARY = [(f"ce-{name}", value) for name, value in REQUIRED.items()]
STRUCTURED = [("content-type", "application/cloudevents+json")]
BATCHED = [("content-type", "application/cloudevents-batch+json")]
ONE = b'{"specversion":"1.0","id":"1","source":"/shop","type":"OrderPlaced","data":{"a": 1.00}}'

MESSAGES = [
    render(BINARY, b"\x00\xff data"),
    render(
        [*BINARY, ("content-type", "application/json"), ("ce-subject", "%E2%82%AC"), ("ce-x", '"q\\"%20"')], b'{"a": 1}'
    ),
    render([*BINARY, ("ce-time", "2026-01-02T03:04:05.120+02:00"), ("ce-choregoshops", "3")], b""),
    render([*BINARY, ("traceparent", f"00-{'0af7651916cd43dd8448eb211c80319c'}-b7ad6b7169203331-01")], b"{}"),
    render([*BINARY, ("x-correlation-id", "gr%C3%BC"), ("ce-partitionkey", "p")], b"{}"),
    render(STRUCTURED, ONE),
    render(STRUCTURED, ONE.replace(b'"data":{"a": 1.00}', b'"datacontenttype":"text/plain","data":"caf\\u00e9"')),
    render(STRUCTURED, ONE.replace(b'"data":{"a": 1.00}', b'"data_base64":"AP8=","x":true,"y":-7,"z":null')),
    render(
        STRUCTURED, ONE.replace(b'"data":{"a": 1.00}', b'"datacontenttype":"application/cloudevents+json","data":{}')
    ),
    render(BATCHED, b"[" + ONE + b"," + ONE.replace(b'"id":"1"', b'"id":"2"') + b"]"),
]
"""One of each mode, with what a decoder may stumble over."""
