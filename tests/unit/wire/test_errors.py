"""The tree of errors."""

from frontends.wire.errors import LocalProtocolError, ProtocolError, RemoteProtocolError


def test_blame_is_a_type() -> None:
    assert issubclass(RemoteProtocolError, ProtocolError)
    assert issubclass(LocalProtocolError, ProtocolError)
    assert not issubclass(RemoteProtocolError, LocalProtocolError)


def test_a_remote_error_is_a_bad_request_unless_it_says_better() -> None:
    assert RemoteProtocolError("no").status == 400
    assert RemoteProtocolError("no", status=413).status == 413
