"""Replies as JSON, and the digest by which a resend is known."""

import hashlib

import msgspec

from engine.contracts.requests import Problem, error_body, error_headers
from engine.ports import Answer

_ENCODER = msgspec.json.Encoder()


def json_answer(value: object) -> Answer:
    """Return the reply whose body is the value."""
    return Answer(_ENCODER.encode(value))


def problem_answer(problem: Problem) -> Answer:
    """Return the reply that tells the problem."""
    return Answer(error_body(problem), error_headers(problem))


def digest_of(actor: str, name: str, body: bytes) -> str:
    """Return SHA-256 in hex over who, what and the body; none of the first two has an octet 0."""
    return hashlib.sha256(b"\0".join((actor.encode(), name.encode(), body))).hexdigest()
