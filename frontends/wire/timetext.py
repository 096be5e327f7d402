"""Times on the wire: RFC 3339 with a zone; ours are milliseconds of Unix time, UTC.

Rule 1: 0 means "no time". On the wire that is the zero time of Go, or a field that is left out.
Rule 2: we write `Z`, and a fraction only where there is one; an empty string or a missing zone makes real clients
        discard the whole frame.
Rule 3: we read fractions up to 9 digits and any offset: a logout's Expiry is in the client's own zone.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from frontends.wire.errors import RemoteProtocolError

ZERO_TIME: Final = "0001-01-01T00:00:00Z"
"""Go's zero time.Time: "no time", and in a patch "cleared"."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_FIRST: Final = -62_135_596_799_000
_LAST: Final = 253_402_300_799_000
"""0001-01-01T00:00:01Z, which is not the zero time, and 9999-12-31T23:59:59Z, in milliseconds: clients read no others."""
_FORM: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,9}))?(?:([Zz])|([+-])([0-9]{2}):([0-9]{2}))"
)


def show(millis: int) -> str:
    """Return the text of a time; the zero time's for 0; the end of the calendar's for one beyond it."""
    if millis == 0:
        return ZERO_TIME
    if not _FIRST <= millis < _LAST + 1000:
        millis = _FIRST if millis < 0 else _LAST
    seconds, rest = divmod(millis, 1000)
    text = (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()
    return f"{text}.{rest:03}Z" if rest else f"{text}Z"


def show_or_leave_out(millis: int) -> str | None:
    """Return the text of a time, or None, which leaves the field out, for 0."""
    return show(millis) if millis else None


def parse(text: str | None) -> int:
    """Return the milliseconds of a text: 0 for the zero time, for null and for a field that was left out.

    1970-01-01T00:00:00Z itself is read as 1: it is a time, long past.

    Raises:
        RemoteProtocolError: the text is no time with a zone.
    """
    if text is None:
        return 0
    found = _FORM.fullmatch(text)
    if found is None:
        raise RemoteProtocolError("not a time as RFC 3339 has it")
    *whole, fraction, _zulu, sign, hours, minutes = found.groups()
    try:
        year, month, day, hour, minute, second = map(int, whole)
        zone = UTC if sign is None else _zone(sign, int(hours), int(minutes))
        moment = datetime(year, month, day, hour, minute, second, tzinfo=zone)
        since = (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):
        raise RemoteProtocolError("no such time") from None
    if moment.replace(tzinfo=None) == datetime(1, 1, 1) and sign is None and not int(fraction or "0"):  # noqa: DTZ001
        return 0
    millis = since + int((fraction or "").ljust(3, "0")[:3])
    if not _FIRST <= millis < _LAST + 1000:
        raise RemoteProtocolError("no such time")
    return millis or 1


def _zone(sign: str, hours: int, minutes: int) -> timezone:
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if sign == "-" else offset)
