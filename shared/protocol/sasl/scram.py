"""SCRAM-SHA-256. RFC 5802, RFC 7677. Both sides prove that they know the secret; what is kept cannot log in by itself.

The server's part is a function of the messages so far, so that whoever verifies remembers nothing: `server_first` makes
the challenge, `is_proof` and `server_final` read the same messages again. No channel binding: docs/rfc.md says why.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final

NAME = "SCRAM-SHA-256"
#: RFC 7677 4: at least 4,096. Our secrets are 256 random bits, for which more would only cost time.
ITERATIONS: Final = 4_096
#: What a client of ours is willing to compute: a hostile server could ask for hours. About a second.
MAX_ITERATIONS: Final = 1_000_000
SALT_SIZE: Final = 16
#: Octets of a message that is read at all.
MAX_MESSAGE: Final = 1_024

_NONCE: Final = r"[\x21-\x2b\x2d-\x7e]{1,256}"  # printable, but no comma
#: An empty `a=`, which gsasl sends where it is told of no authzid, is taken for none.
_CLIENT_FIRST: Final = re.compile(
    rf"(?P<gs2>[ny],(?:a=(?P<authzid>[^,\0]*))?,)(?P<bare>n=(?P<authcid>[^,\0]+),r=(?P<nonce>{_NONCE}))(?:,[a-zA-Z]=[^,\0]+)*\Z"
)
_CLIENT_FINAL: Final = re.compile(
    rf"(?P<without>c=(?P<binding>[A-Za-z0-9+/=]+),r=(?P<nonce>{_NONCE})(?:,[a-zA-Z]=[^,\0]+)*),p=(?P<proof>[A-Za-z0-9+/=]+)\Z"
)
_SERVER_FIRST: Final = re.compile(
    rf"r=(?P<nonce>{_NONCE}),s=(?P<salt>[A-Za-z0-9+/=]+),i=(?P<iterations>[1-9][0-9]{{0,8}})(?:,[a-zA-Z]=[^,\0]+)*\Z"
)


@dataclass(frozen=True, slots=True)
class Keys:
    """What a server keeps of a secret. RFC 5802 3."""

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientFirst:
    """The client's first message, taken apart. `bare` is the part that is signed."""

    gs2_header: str
    authzid: str
    authcid: str
    nonce: str
    bare: str


@dataclass(frozen=True, slots=True)
class ClientFinal:
    """The client's second message, taken apart. `without_proof` is the part that is signed."""

    binding: bytes
    nonce: str
    proof: bytes
    without_proof: str


def derive(secret: bytes, salt: bytes, iterations: int = ITERATIONS) -> Keys:
    """The keys of a secret. RFC 5802 3."""
    salted = hashlib.pbkdf2_hmac("sha256", secret, salt, iterations)
    return Keys(salt, iterations, _sha256(_hmac(salted, b"Client Key")), _hmac(salted, b"Server Key"))


def parse_client_first(message: bytes) -> ClientFirst | None:
    """The parts, or None: bad grammar, an extension that must be understood (m=), or channel binding (p=)."""
    found = _match(_CLIENT_FIRST, message)
    if not found:
        return None
    authcid, authzid = _unescape(found["authcid"]), _unescape(found["authzid"] or "")
    if authcid is None or authzid is None:
        return None
    # Extensions behind the nonce are signed, too: `bare` is everything behind the GS2 header.
    return ClientFirst(found["gs2"], authzid, authcid, found["nonce"], found.string[len(found["gs2"]) :])


def server_first(first: ClientFirst, server_nonce: str, salt: bytes, iterations: int) -> bytes:
    """The challenge: the client's nonce with ours behind it, and how its secret was salted."""
    return f"r={first.nonce}{server_nonce},s={_encode(salt)},i={iterations}".encode("ascii")


def parse_client_final(message: bytes) -> ClientFinal | None:
    """The parts, or None."""
    found = _match(_CLIENT_FINAL, message)
    if not found:
        return None
    binding, proof = _decode(found["binding"]), _decode(found["proof"])
    if binding is None or proof is None:
        return None
    return ClientFinal(binding, found["nonce"], proof, found["without"])


def is_proof(first: ClientFirst, challenge: bytes, final: ClientFinal, keys: Keys) -> bool:
    """Whether the final message proves the secret for this challenge. RFC 5802 3 and 5.1: also c= and r= are checked."""
    nonce = challenge.decode("ascii", "replace").partition(",")[0].removeprefix("r=")
    if not hmac.compare_digest(final.nonce.encode(), nonce.encode()):
        return False
    if not hmac.compare_digest(final.binding, first.gs2_header.encode()):
        return False
    signature = _hmac(keys.stored_key, _auth_message(first.bare, challenge, final.without_proof))
    return hmac.compare_digest(_sha256(_xor(signature, final.proof)), keys.stored_key)


def server_final(first: ClientFirst, challenge: bytes, final: ClientFinal, keys: Keys) -> bytes:
    """What proves to the client that we know its keys."""
    return b"v=" + _encode(_hmac(keys.server_key, _auth_message(first.bare, challenge, final.without_proof))).encode()


class BadChallenge(Exception):
    """The server's message is no SCRAM, is not for us, or does not prove that it knows our secret."""


class Client:
    """The client's part: three steps, in order."""

    def __init__(self, authcid: str, secret: bytes, nonce: str) -> None:
        self._secret = secret
        self._nonce = nonce
        self._bare = f"n={authcid.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
        self._signature = b""

    def first(self) -> bytes:
        """The client's first message."""
        return f"n,,{self._bare}".encode()

    def final(self, challenge: bytes) -> bytes:
        """The answer to the server's first message. Raises BadChallenge."""
        found = _match(_SERVER_FIRST, challenge)
        salt = _decode(found["salt"]) if found else None
        if found is None or salt is None:
            raise BadChallenge("no server-first message")
        if not found["nonce"].startswith(self._nonce) or len(found["nonce"]) <= len(self._nonce):
            raise BadChallenge("the nonce is not ours")
        iterations = int(found["iterations"])
        if not ITERATIONS <= iterations <= MAX_ITERATIONS:
            raise BadChallenge(f"{iterations} iterations")
        salted = hashlib.pbkdf2_hmac("sha256", self._secret, salt, iterations)
        client_key = _hmac(salted, b"Client Key")
        without = f"c=biws,r={found['nonce']}"  # biws: "n,,"
        message = _auth_message(self._bare, challenge, without)
        self._signature = _hmac(_hmac(salted, b"Server Key"), message)
        proof = _xor(client_key, _hmac(_sha256(client_key), message))
        return f"{without},p={_encode(proof)}".encode()

    def verify(self, challenge: bytes) -> None:
        """Reads the server's final message. Raises BadChallenge."""
        signature = _decode(challenge.decode("ascii", "replace").removeprefix("v=").partition(",")[0])
        if not self._signature or not challenge.startswith(b"v=") or signature is None:
            raise BadChallenge("no server-final message")
        if not hmac.compare_digest(signature, self._signature):
            raise BadChallenge("the server does not know our secret")


def _auth_message(bare: str, challenge: bytes, without_proof: str) -> bytes:
    return bare.encode() + b"," + challenge + b"," + without_proof.encode()


def _match(pattern: "re.Pattern[str]", message: bytes) -> "re.Match[str] | None":
    try:
        return pattern.match(message.decode("utf-8")) if len(message) <= MAX_MESSAGE else None
    except UnicodeDecodeError:
        return None


def _unescape(name: str) -> str | None:
    """RFC 5802 5.1: =2C and =3D stand for `,` and `=`; any other `=` is an error."""
    if re.search(r"=(?!2C|3D)", name):
        return None
    return name.replace("=2C", ",").replace("=3D", "=")


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=False))


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
