"""SCRAM-SHA-256: RFC 7677's own example, scramp as the other side, and everything that is no proof."""

import base64
import hashlib
import hmac

import pytest
import scramp
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.sasl import scram

# RFC 7677 3
USER, SECRET, NONCE = "user", b"pencil", "rOprNGfwEbeRWgbNEkqO"
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
CHALLENGE = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
FINAL = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
PROOF = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
KEYS = scram.derive(SECRET, SALT)


def test_r15_the_rfcs_example_on_both_sides() -> None:
    client = scram.Client(USER, SECRET, NONCE)
    assert client.first() == FIRST
    assert client.final(CHALLENGE) == FINAL
    client.verify(PROOF)
    first, final = scram.parse_client_first(FIRST), scram.parse_client_final(FINAL)
    assert first is not None and final is not None
    assert scram.server_first(first, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", SALT, 4096) == CHALLENGE
    assert scram.is_proof(first, CHALLENGE, final, KEYS)
    assert scram.server_final(first, CHALLENGE, final, KEYS) == PROOF


@given(st.text(min_size=1).filter(lambda text: "\0" not in text), st.binary(min_size=1))
def test_any_name_survives_its_escapes(name: str, secret: bytes) -> None:
    first = scram.parse_client_first(scram.Client(name, secret, NONCE).first())
    assert first is None or first.authcid == name


@pytest.mark.parametrize("secret", ["pencil", "wrong"])
def test_scramp_logs_in_at_our_server(secret: str) -> None:
    client = scramp.ScramClient(["SCRAM-SHA-256"], USER, secret)
    first = scram.parse_client_first(client.get_client_first().encode())
    assert first is not None
    challenge = scram.server_first(first, "ours", SALT, 4096)
    client.set_server_first(challenge.decode())
    final = scram.parse_client_final(client.get_client_final().encode())
    assert final is not None
    assert scram.is_proof(first, challenge, final, KEYS) is (secret == "pencil")
    if secret == "pencil":
        client.set_server_final(scram.server_final(first, challenge, final, KEYS).decode())


def test_our_client_logs_in_at_scramp() -> None:
    mechanism = scramp.ScramMechanism("SCRAM-SHA-256")
    known = mechanism.make_auth_info("pencil", iteration_count=4096)
    server = mechanism.make_server(lambda _name: known)
    client = scram.Client(USER, SECRET, NONCE)
    server.set_client_first(client.first().decode())
    server.set_client_final(client.final(server.get_server_first().encode()).decode())
    client.verify(server.get_server_final().encode())


@pytest.mark.parametrize(
    "message",
    [
        b"", b"n,,", b"n,,n=user", b"n,,r=x,n=user", b"x,,n=user,r=x", b"n,n=user,r=x", b"n,,n=,r=x", b"n,,n=user,r=",
        b"n,,m=ext,n=user,r=x", b"p=tls-unique,,n=user,r=x", b"n,,n=us=er,r=x", b"n,,n=us=2Der,r=x", b"n,,n=user,r=a b",
        b"n,,n=us\0er,r=x", b"n,,n=\xff,r=x", b"n,,n=user,r=x,junk", b"n,,n=user,r=" + b"x" * 2_000,
    ],
)  # fmt: skip
def test_what_is_no_first_message(message: bytes) -> None:
    """RFC 5802 5.1 and 6: an extension that must be understood, or channel binding that was not offered, is refused."""
    assert scram.parse_client_first(message) is None


def test_extensions_that_may_be_left_alone_are_signed_all_the_same() -> None:
    first = scram.parse_client_first(b"y,a=user,n=user,r=x,z=1")
    assert first is not None and first.bare == "n=user,r=x,z=1" and first.gs2_header == "y,a=user,"
    assert first.authzid == "user"
    gsasl = scram.parse_client_first(b"n,a=,n=user,r=x")
    assert gsasl is not None and (gsasl.authzid, gsasl.gs2_header) == ("", "n,a=,")


@pytest.mark.parametrize(
    "final",
    [
        FINAL.replace(b"c=biws", b"c=eSws"),  # another GS2 header than the first message had
        FINAL.replace(b"hNlF$k0", b"hNlF$k1"),  # another nonce
        FINAL.replace(b"p=dHzb", b"p=eHzb"),
        FINAL.partition(b",p=")[0] + b",p=AAAA",
        FINAL.partition(b",p=")[0] + b",p=" + base64.b64encode(bytes(32)),
    ],
)
def test_what_proves_nothing(final: bytes) -> None:
    first, parsed = scram.parse_client_first(FIRST), scram.parse_client_final(final)
    assert first is not None and parsed is not None
    assert not scram.is_proof(first, CHALLENGE, parsed, KEYS)


@pytest.mark.parametrize(
    "message", [b"", b"c=biws", b"c=biws,r=x", b"c=biws,r=x,p=", b"c=***,r=x,p=AA==", b"c=biws,r=x,p=A"]
)
def test_what_is_no_final_message(message: bytes) -> None:
    assert scram.parse_client_final(message) is None


@pytest.mark.parametrize(
    "challenge",
    [
        b"", b"e=unknown-user", b"r=other,s=AAAA,i=4096", CHALLENGE.replace(b"i=4096", b"i=4095"),
        CHALLENGE.replace(b"i=4096", b"i=99999999"), f"r={NONCE},s=AAAA,i=4096".encode(), CHALLENGE.replace(b"s=W", b"s=?"),
    ],
)  # fmt: skip
def test_a_client_answers_no_challenge_that_is_not_for_it(challenge: bytes) -> None:
    """A nonce that is not ours, too few iterations, or hours of them."""
    with pytest.raises(scram.BadChallenge):
        scram.Client(USER, SECRET, NONCE).final(challenge)


@pytest.mark.parametrize("proof", [b"", b"v=", b"e=other-error", b"v=AAAA", PROOF.replace(b"6r", b"7r")])
def test_a_client_believes_no_server_without_proof(proof: bytes) -> None:
    client = scram.Client(USER, SECRET, NONCE)
    client.final(CHALLENGE)
    with pytest.raises(scram.BadChallenge):
        client.verify(proof)
    with pytest.raises(scram.BadChallenge):
        scram.Client(USER, SECRET, NONCE).verify(PROOF)


@pytest.mark.parametrize(
    ("challenge", "is_one"), [(CHALLENGE, True), (CHALLENGE.replace(b"hNlF$k0", b"hNlF$k1"), False)]
)
def test_r15_a_proof_over_another_nonce_is_none_even_if_its_signature_is_right(challenge: bytes, is_one: bool) -> None:
    """Who knows the secret signs what he likes; what was challenged is what counts. RFC 5802 5.1, r=."""
    first = scram.parse_client_first(FIRST)
    final = scram.parse_client_final(scram.Client(USER, SECRET, NONCE).final(challenge))
    assert first is not None and final is not None
    proof = _prove(b",".join((first.bare.encode(), CHALLENGE, final.without_proof.encode())))
    forged = scram.ClientFinal(final.binding, final.nonce, proof, final.without_proof)
    assert scram.is_proof(first, CHALLENGE, forged, KEYS) is is_one


@pytest.mark.parametrize(
    ("binding", "is_one"), [(b"n,,", True), (b"y,,", False), (b"p=tls-unique,,x", False), (b"", False)]
)
def test_r15_a_proof_over_another_header_is_none_even_if_its_signature_is_right(binding: bytes, is_one: bool) -> None:
    """RFC 5802 5.1, c=: else an attacker between could take channel binding away."""
    first = scram.parse_client_first(FIRST)
    nonce = CHALLENGE.decode().partition(",")[0].removeprefix("r=")
    without = f"c={base64.b64encode(binding).decode()},r={nonce}"
    assert first is not None
    proof = _prove(b",".join((first.bare.encode(), CHALLENGE, without.encode())))
    assert scram.is_proof(first, CHALLENGE, scram.ClientFinal(binding, nonce, proof, without), KEYS) is is_one


def _prove(message: bytes) -> bytes:
    """ClientProof of RFC 5802 3, by the book."""
    salted = hashlib.pbkdf2_hmac("sha256", SECRET, SALT, 4096)
    key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
    return bytes(a ^ b for a, b in zip(key, signature, strict=True))


def test_keys_do_not_print() -> None:
    assert "stored_key" not in repr(KEYS)
