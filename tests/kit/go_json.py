"""Scalars, lists and objects as a real client's JSON decoder takes them; one bad scalar discards the whole frame."""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

Check = Callable[[Any], None]
Fields = Mapping[str, Check]

_TIME: Final = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    re.ASCII,
)


class Rejected(Exception):  # noqa: N818 (the verdict of a client, not an error of ours)
    """A real client would discard this frame and end the poll, or would misread it."""


def must(holds: object, says: str) -> None:
    if not holds:
        raise Rejected(says)


def text(value: Any) -> None:
    must(isinstance(value, str) and "\0" not in value, f"not a text: {value!r}")


def some_text(value: Any) -> None:
    text(value)
    must(value, "an empty text")


def integer(value: Any) -> None:
    must(type(value) is int and -(2**63) <= value < 2**63, f"not an integer: {value!r}")


def identity(value: Any) -> None:
    integer(value)
    must(0 < value < 2**53, f"not an id: {value!r}")


def port(value: Any) -> None:
    integer(value)
    must(0 <= value <= 65_535, f"not a port: {value!r}")


def number(value: Any) -> None:
    must(type(value) in (int, float), f"not a number: {value!r}")


def boolean(value: Any) -> None:
    must(isinstance(value, bool), f"not a boolean: {value!r}")


def anything(value: Any) -> None:
    del value


def time(value: Any) -> None:
    must(isinstance(value, str) and _TIME.fullmatch(value), f"not a time with a zone: {value!r}")


def octets(value: Any) -> None:
    text(value)
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error:
        raise Rejected(f"not base64: {value!r}") from None


def key(prefix: str) -> Check:
    form = re.compile(re.escape(prefix) + r"[0-9a-fA-F]{64}")

    def check(value: Any) -> None:
        must(isinstance(value, str) and form.fullmatch(value), f"not a {prefix} key: {value!r}")

    return check


def address(value: Any) -> None:
    text(value)
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise Rejected(f"not an address: {value!r}") from None


def prefix(value: Any) -> None:
    text(value)
    host, slash, bits = value.partition("/")
    must(slash and bits.isdigit() and str(int(bits)) == bits, f"not a prefix: {value!r}")
    address(host)
    must(int(bits) <= ipaddress.ip_address(host).max_prefixlen, f"not a prefix: {value!r}")


def one_address(value: Any) -> None:
    prefix(value)
    host, _, bits = value.partition("/")
    must(int(bits) == ipaddress.ip_address(host).max_prefixlen, f"not one address: {value!r}")


def endpoint(value: Any) -> None:
    text(value)
    host, _, number_ = value.rpartition(":")
    must(number_.isdigit() and int(number_) <= 65_535, f"not ip:port: {value!r}")
    is_v6 = host.startswith("[") and host.endswith("]")
    address(host[1:-1] if is_v6 else host)
    must(is_v6 == (":" in host), f"not ip:port: {value!r}")


def ip_set(value: Any) -> None:
    """One entry of a filter: `*`, an address, a range, or a prefix without host bits."""
    text(value)
    if value == "*":
        return
    if "/" in value:
        prefix(value)
        must(
            ipaddress.ip_interface(value).ip == ipaddress.ip_network(value, strict=False).network_address,
            value,
        )
        return
    for part in value.split("-", 1):
        address(part)


def source(value: Any) -> None:
    if isinstance(value, str) and value.startswith("cap:"):
        some_text(value[4:])
    else:
        ip_set(value)


def every(check: Check) -> Check:
    def checks(value: Any) -> None:
        must(isinstance(value, list), f"not a list: {value!r:.80}")
        for item in value:
            check(item)

    return checks


def each(check: Check, *, keys: Check = text, null: bool = False) -> Check:
    """An object whose values pass; integer keys are decimal texts."""

    def checks(value: Any) -> None:
        must(isinstance(value, dict), f"not an object: {value!r:.80}")
        for name, item in value.items():
            keys(name)
            if item is None:
                must(null, f"null under {name!r}")
            else:
                check(item)

    return checks


def decimal(value: Any) -> None:
    must(isinstance(value, str) and re.fullmatch(r"[1-9][0-9]*", value), f"not a number as a key: {value!r}")


def record(fields: Fields, *required: str) -> Check:
    """An object of known fields; null is absent."""

    def checks(value: Any) -> None:
        must(isinstance(value, dict), f"not an object: {value!r:.80}")
        for name, item in value.items():
            must(name in fields, f"no such field: {name}")
            if item is not None:
                try:
                    fields[name](item)
                except Rejected as error:
                    raise Rejected(f"{name}: {error}") from None
        for name in required:
            must(value.get(name) is not None, f"{name} is missing")

    return checks


def named(check: Check, names: str) -> dict[str, Check]:
    return dict.fromkeys(names.split(), check)
