"""Noise IK as the control protocol speaks it: `Noise_IK_25519_ChaChaPoly_BLAKE2s`, both roles.

    <- s                          the server's static key, from GET /key
    prologue                      "Tailscale Control Protocol v" + decimal version
    -> e, es, s, ss               initiation, 101 bytes, in an HTTP header
    <- e, ee, se                  response, 51 bytes

    initiation   version:2  type=1:1  length=96:2  e:32  sealed machine key:48  tag:16
    response     type=2:1   length=48:2  e:32  tag:16                     all integers big-endian

Rule 1: ephemeral keys are passed in; this module knows no randomness. Never pass one twice.
Rule 2: a handshake answers once, a cipher never uses a counter twice, and one failed decryption ends a cipher.
Rule 3: the transport counter is big-endian in the nonce's last 8 bytes. The Noise specification says
        little-endian; the client's source (control/controlbase/conn.go) does not.
Rule 4: an all-zero shared secret is refused: low-order points carry no identity.
Rule 5: what is secret has no repr.
"""

import hashlib
import hmac
import struct
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from frontends.wire.errors import LocalProtocolError, RemoteProtocolError
from frontends.wire.keytext import KEY_LENGTH

INITIATION_LENGTH: Final = 101
RESPONSE_LENGTH: Final = 51
TAG_LENGTH: Final = 16
_INITIATION_HEAD: Final = struct.Struct(">HBH")
_RESPONSE_HEAD: Final = struct.Struct(">BH")
_INITIATION_TYPE: Final = 1
_RESPONSE_TYPE: Final = 2
_SEALED_KEY_END: Final = _INITIATION_HEAD.size + KEY_LENGTH + KEY_LENGTH + TAG_LENGTH
_NAME: Final = hashlib.blake2s(b"Noise_IK_25519_ChaChaPoly_BLAKE2s").digest()
_PROLOGUE: Final = "Tailscale Control Protocol v"
_ZERO_NONCE: Final = bytes(12)
_NONCE_HEAD: Final = bytes(4)
_COUNTER_END: Final = 2**64 - 1
"""The last counter is reserved by the Noise specification, §5.1."""
_FORGED: Final = "a Noise message does not authenticate"


class PrivateKey:
    """An X25519 private key; `public` are the 32 bytes of its public key. It prints nothing of itself."""

    def __init__(self, raw: bytes) -> None:
        self._key: Final = X25519PrivateKey.from_private_bytes(raw)
        self.public: Final = self._key.public_key().public_bytes_raw()

    def shared(self, public: bytes) -> bytes:
        """Return the shared secret with a public key of 32 bytes.

        Raises:
            RemoteProtocolError: the public key is a low-order point.
        """
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:
            raise RemoteProtocolError("a public key is a low-order point") from None

    def __repr__(self) -> str:
        return "<PrivateKey>"


class CipherState:
    """One direction of the transport: a key and the next counter."""

    __slots__ = ("_aead", "_counter")

    def __init__(self, key: bytes) -> None:
        self._aead = ChaCha20Poly1305(key)
        self._counter = 0

    def seal(self, plaintext: bytes | memoryview) -> bytes:
        """Return the ciphertext, 16 bytes longer, and move on."""
        return self._aead.encrypt(self._next(), plaintext, None)

    def seal_into(self, plaintext: bytes | memoryview, out: memoryview) -> None:
        """Write the ciphertext to `out`, which is 16 bytes longer than the plaintext, and move on."""
        self._aead.encrypt_into(self._next(), plaintext, None, out)

    def open(self, ciphertext: bytes | memoryview) -> bytes:
        """Return the plaintext and move on.

        Raises:
            RemoteProtocolError: it does not authenticate; the cipher is of no more use.
        """
        nonce = self._next()
        try:
            return self._aead.decrypt(nonce, ciphertext, None)
        except InvalidTag:
            self._counter = _COUNTER_END
            raise RemoteProtocolError(_FORGED) from None

    def _next(self) -> bytes:
        counter = self._counter
        if counter >= _COUNTER_END:
            raise LocalProtocolError("the cipher is used up")
        self._counter = counter + 1
        return _NONCE_HEAD + counter.to_bytes(8)


class Session(NamedTuple):
    """What a finished handshake leaves: both directions, who the other side is, and the channel's hash."""

    send: CipherState
    receive: CipherState
    remote_static: bytes
    """The other side's static public key: for a server, the client's machine key."""
    version: int
    """The capability version in the initiation."""
    handshake_hash: bytes


class _Symmetric:
    """The Noise symmetric state: chaining key and transcript hash."""

    __slots__ = ("chaining_key", "hash")

    def __init__(self, version: int, server_public: bytes) -> None:
        self.chaining_key = _NAME
        self.hash = _NAME
        self.mix_hash(f"{_PROLOGUE}{version}".encode())
        self.mix_hash(server_public)

    def mix_hash(self, part: bytes) -> None:
        self.hash = hashlib.blake2s(self.hash + part).digest()

    def mix_key(self, secret: bytes) -> ChaCha20Poly1305:
        self.chaining_key, key = _expand(self.chaining_key, secret)
        return ChaCha20Poly1305(key)

    def seal(self, cipher: ChaCha20Poly1305, plaintext: bytes) -> bytes:
        ciphertext = cipher.encrypt(_ZERO_NONCE, plaintext, self.hash)
        self.mix_hash(ciphertext)
        return ciphertext

    def open(self, cipher: ChaCha20Poly1305, ciphertext: bytes) -> bytes:
        try:
            plaintext = cipher.decrypt(_ZERO_NONCE, ciphertext, self.hash)
        except InvalidTag:
            raise RemoteProtocolError(_FORGED) from None
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[CipherState, CipherState]:
        first, second = _expand(self.chaining_key, b"")
        return CipherState(first), CipherState(second)


def _expand(chaining_key: bytes, secret: bytes) -> tuple[bytes, bytes]:
    """Return HKDF's first two outputs: salt the chaining key, no info."""
    pseudo_random = hmac.digest(chaining_key, secret, "blake2s")
    first = hmac.digest(pseudo_random, b"\x01", "blake2s")
    return first, hmac.digest(pseudo_random, first + b"\x02", "blake2s")


def initiation_version(initiation: bytes) -> int:
    """Return the capability version that a Noise initiation claims.

    Raises:
        RemoteProtocolError: it has not the length or the head of an initiation.
    """
    if len(initiation) != INITIATION_LENGTH:
        raise RemoteProtocolError("a Noise initiation has 101 bytes")
    version, kind, length = _INITIATION_HEAD.unpack_from(initiation)
    if kind != _INITIATION_TYPE or length != INITIATION_LENGTH - _INITIATION_HEAD.size:
        raise RemoteProtocolError("not a Noise initiation")
    return int(version)


class Asked:
    """An initiation that was read and found genuine: who asks is known, and has no answer yet."""

    __slots__ = ("_noise", "_remote_ephemeral", "machine", "version")

    def __init__(self, static: PrivateKey, initiation: bytes) -> None:
        """Read it: half of the handshake's work.

        Raises:
            RemoteProtocolError: the initiation is malformed or forged.
        """
        self.version: Final = initiation_version(initiation)
        noise = _Symmetric(self.version, static.public)
        self._remote_ephemeral: Final = initiation[_INITIATION_HEAD.size : _INITIATION_HEAD.size + KEY_LENGTH]
        noise.mix_hash(self._remote_ephemeral)
        cipher = noise.mix_key(static.shared(self._remote_ephemeral))
        self.machine: Final = noise.open(
            cipher, initiation[_INITIATION_HEAD.size + KEY_LENGTH : _SEALED_KEY_END]
        )
        """The other side's static public key."""
        cipher = noise.mix_key(static.shared(self.machine))
        noise.open(cipher, initiation[_SEALED_KEY_END:])
        self._noise: _Symmetric | None = noise

    def answer(self, ephemeral: PrivateKey) -> tuple[bytes, Session]:
        """Return the 51 bytes of the response, and the server's session; once.

        Raises:
            LocalProtocolError: it was answered before.
        """
        noise, self._noise = self._noise, None
        if noise is None:
            raise LocalProtocolError("a handshake is answered once")
        noise.mix_hash(ephemeral.public)
        noise.mix_key(ephemeral.shared(self._remote_ephemeral))
        cipher = noise.mix_key(ephemeral.shared(self.machine))
        tag = noise.seal(cipher, b"")
        head = _RESPONSE_HEAD.pack(_RESPONSE_TYPE, RESPONSE_LENGTH - _RESPONSE_HEAD.size)
        from_client, to_client = noise.split()
        session = Session(to_client, from_client, self.machine, self.version, noise.hash)
        return head + ephemeral.public + tag, session


class Initiator:
    """The client's half: `initiation` goes out, `finish` takes the response, once."""

    def __init__(self, static: PrivateKey, ephemeral: PrivateKey, server_public: bytes, version: int) -> None:
        noise = _Symmetric(version, server_public)
        noise.mix_hash(ephemeral.public)
        sealed = noise.seal(noise.mix_key(ephemeral.shared(server_public)), static.public)
        tag = noise.seal(noise.mix_key(static.shared(server_public)), b"")
        head = _INITIATION_HEAD.pack(version, _INITIATION_TYPE, INITIATION_LENGTH - _INITIATION_HEAD.size)
        self.initiation: Final = head + ephemeral.public + sealed + tag
        self._static = static
        self._ephemeral = ephemeral
        self._server_public = server_public
        self._version = version
        self._noise: _Symmetric | None = noise

    def finish(self, response: bytes) -> Session:
        """Return the client's session.

        Raises:
            RemoteProtocolError: the response is malformed or forged.
            LocalProtocolError: the handshake was finished before, whatever came of it.
        """
        noise = self._take()
        if len(response) != RESPONSE_LENGTH:
            raise RemoteProtocolError("a Noise response has 51 bytes")
        if _RESPONSE_HEAD.unpack_from(response) != (_RESPONSE_TYPE, RESPONSE_LENGTH - _RESPONSE_HEAD.size):
            raise RemoteProtocolError("not a Noise response")
        remote_ephemeral = response[_RESPONSE_HEAD.size : _RESPONSE_HEAD.size + KEY_LENGTH]
        noise.mix_hash(remote_ephemeral)
        noise.mix_key(self._ephemeral.shared(remote_ephemeral))
        cipher = noise.mix_key(self._static.shared(remote_ephemeral))
        noise.open(cipher, response[_RESPONSE_HEAD.size + KEY_LENGTH :])
        to_server, from_server = noise.split()
        return Session(to_server, from_server, self._server_public, self._version, noise.hash)

    def _take(self) -> _Symmetric:
        noise, self._noise = self._noise, None
        if noise is None:
            raise LocalProtocolError("a handshake is finished once")
        return noise


class Responder:
    """The server's half: `respond` answers one initiation and refuses a second."""

    def __init__(self, static: PrivateKey, ephemeral: PrivateKey) -> None:
        self._keys: tuple[PrivateKey, PrivateKey] | None = (static, ephemeral)

    def respond(self, initiation: bytes) -> tuple[bytes, Session]:
        """Return the 51 bytes of the response, and the server's session.

        A stranger passes: the session says who the client is, not that it may do anything.

        Raises:
            RemoteProtocolError: the initiation is malformed or forged.
            LocalProtocolError: an initiation was answered or refused before.
        """
        keys, self._keys = self._keys, None
        if keys is None:
            raise LocalProtocolError("a handshake is answered once")
        static, ephemeral = keys
        return Asked(static, initiation).answer(ephemeral)
