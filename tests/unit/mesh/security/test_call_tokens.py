"""Call tokens: the claims of a valid one, and the refusal of every kind of invalid one."""

import json
from base64 import urlsafe_b64encode
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ServiceUnavailable
from mesh.security import keys
from mesh.security.call_tokens import HOST_START, LONGEST_TOKEN, CallTokenSigner, CallTokenVerifier, UsedTokens
from mesh.security.errors import InvalidCredentials, TokenExpired
from mesh.security.identities import GATEWAY, ORCHESTRATOR, WORKER
from tests.support.clock import SetClock

KEY, OTHER_KEY = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
AGENT, EXECUTION = "own_helper_agent_1_1", "0199-execution"
NOW = SetClock().time()
FOR_IT = {"agent_id": AGENT, "execution_id": EXECUTION}


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def verifier(clock: SetClock) -> CallTokenVerifier:
    return CallTokenVerifier([KEY.public_key()], clock)


def minted(key: Ed25519PrivateKey = KEY, issuer: str = ORCHESTRATOR, host_start: str | None = None, clock: Clock | None = None) -> str:
    return CallTokenSigner(key, issuer, clock or SetClock()).mint(agent_id=AGENT, user_id=42, execution_id=EXECUTION, host_start=host_start)


def encoded(data: bytes | dict[str, Any]) -> str:
    return urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    payload = {"iss": ORCHESTRATOR, "aud": AGENT, "sub": "42", "execution_id": EXECUTION, "iat": NOW, "exp": NOW + 60, "jti": "one"}
    return {name: value for name, value in {**payload, **changes}.items() if value is not None}


def signed(payload: dict[str, Any] | bytes, header: str | None = None) -> str:
    """A token with any payload, validly signed with a key that hosts know, with the usual header or another one."""
    text = f"{minted().partition('.')[0] if header is None else header}.{encoded(payload)}"
    return f"{text}.{encoded(KEY.sign(text.encode()))}"


def test_a_token_has_the_user_agent_execution_and_expiry(verifier: CallTokenVerifier) -> None:
    token = verifier.read(minted())
    assert (token.issuer, token.agent_id, token.user_id, token.execution_id) == (ORCHESTRATOR, AGENT, 42, EXECUTION)
    assert token.expires_at - token.issued_at == pytest.approx(60)
    assert token.issued_at == NOW
    verifier.use(token, **FOR_IT)


def test_another_jwt_library_reads_the_token() -> None:
    token = jwt.decode(minted(clock=SYSTEM_CLOCK), KEY.public_key(), algorithms=["EdDSA"], audience=AGENT, issuer=ORCHESTRATOR)
    assert (token["sub"], token["execution_id"]) == ("42", EXECUTION)
    assert jwt.get_unverified_header(minted())["typ"] == "call+jwt"


def test_the_worker_may_sign_tokens_and_no_two_are_equal(verifier: CallTokenVerifier) -> None:
    assert verifier.read(minted(issuer=WORKER)).issuer == WORKER
    assert len({verifier.read(minted()).token_id for _ in range(50)}) == 50


def other_header(**changes: Any) -> str:
    header = jwt.get_unverified_header(minted())
    return encoded({**header, **changes})


def confused() -> str:
    """HS256 with the public key as the secret: a verifier that lets the token choose the algorithm would accept it."""
    text = f"{other_header(alg='HS256')}.{encoded(claims())}"
    return f"{text}.{encoded(jwt.api_jws.get_algorithm_by_name('HS256').sign(text.encode(), keys.public_pem(KEY).encode()))}"


def tampered() -> str:
    header, _, signature = minted().split(".")
    return f"{header}.{encoded(claims(sub='1'))}.{signature}"


FORGED = {
    "missing": None,
    "empty": "",
    "no token": "nonsense",
    "dots alone": "..",
    "many dots": "a.b.c.d.e",
    "signed with another key": minted(OTHER_KEY),
    "signed with another key under the known header": f"{signed(claims()).rpartition('.')[0]}.{minted(OTHER_KEY).rpartition('.')[2]}",
    "alg none": f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{encoded(claims())}.",
    "alg none under the known key id": f"{other_header(alg='none')}.{encoded(claims())}.",
    "unsigned": minted().rpartition(".")[0] + ".",
    "without its last part": minted().rpartition(".")[0],
    "HS256 with the public key": confused(),
    "another type": signed(claims(), other_header(typ="at+jwt")),
    "a key id with a path": signed(claims(), other_header(kid="../../../dev/null")),
    "an embedded key": signed(claims(), other_header(jwk={"kty": "OKP"})),
    "another subject": tampered(),
    "a truncated signature": minted()[:-4],
    "not base64": minted().rpartition(".")[0] + ".é!?",
    "too long": signed(claims(jti="x" * LONGEST_TOKEN)),
    "not an object": signed(b"[]"),
    "not JSON": signed(b"\xff{"),
    "without an audience": signed(claims(aud=None)),
    "without an expiry": signed(claims(exp=None)),
    "without an id": signed(claims(jti=None)),
    "a subject that is not a number": signed(claims(sub="root")),
    "of the gateway": minted(issuer=GATEWAY),
    "of an unknown issuer": signed(claims(iss="spiffe://elsewhere/orchestrator")),
    "from the future": signed(claims(iat=NOW + 600, exp=NOW + 660)),
    "valid for a year": signed(claims(exp=NOW + 31_536_000)),
    "valid forever": signed(claims(exp=float("inf"))),
    "an expiry that is not a number": signed(claims(exp=float("nan"))),
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED.keys())
def test_an_invalid_token_is_refused(verifier: CallTokenVerifier, token: str | None) -> None:
    with pytest.raises(InvalidCredentials) as refused:
        verifier.read(token)
    assert "call token" in refused.value.message


def test_a_token_expires_after_a_minute_plus_the_clock_tolerance(clock: SetClock, verifier: CallTokenVerifier) -> None:
    token = minted()
    clock.advance(64)
    verifier.read(token)
    clock.advance(2)
    with pytest.raises(TokenExpired):
        verifier.read(token)


def test_a_token_from_a_clock_slightly_ahead_is_accepted(verifier: CallTokenVerifier) -> None:
    ahead = NOW + 3
    verifier.use(verifier.read(signed(claims(iat=ahead, exp=ahead + 60))), **FOR_IT)


def test_a_token_admits_only_one_call(verifier: CallTokenVerifier) -> None:
    token = minted()
    verifier.use(verifier.read(token), **FOR_IT)
    with pytest.raises(InvalidCredentials, match="has been used"):
        verifier.use(verifier.read(token), **FOR_IT)


def test_the_same_token_in_another_encoding_counts_as_used(verifier: CallTokenVerifier) -> None:
    token = minted()
    verifier.use(verifier.read(token), **FOR_IT)
    with pytest.raises(InvalidCredentials, match="has been used"):
        verifier.use(verifier.read(token + "=="), **FOR_IT)


WRONG_USES = [{"agent_id": "own_helper_agent_1_2"}, {"agent_id": ""}, {"execution_id": "another"}, {"execution_id": ""}]


@pytest.mark.parametrize("wrong", WRONG_USES)
def test_a_token_is_valid_for_one_execution_of_one_agent_and_a_wrong_use_does_not_consume_it(
    verifier: CallTokenVerifier, wrong: dict[str, str]
) -> None:
    token = verifier.read(minted())
    with pytest.raises(InvalidCredentials, match="is for another"):
        verifier.use(token, **{**FOR_IT, **wrong})
    verifier.use(token, **FOR_IT)


def host_start_of(verifier: CallTokenVerifier, clock: Clock | None = None) -> str:
    """The start of the host, read from the refusal of a token for another start."""
    with pytest.raises(InvalidCredentials, match="earlier start of this host") as refused:
        verifier.read(minted(host_start="", clock=clock))
    return refused.value.details[HOST_START]


def test_a_token_for_an_earlier_start_is_refused_with_the_current_start(verifier: CallTokenVerifier) -> None:
    start = host_start_of(verifier)
    token = minted(host_start=start)
    verifier.use(verifier.read(token), **FOR_IT)
    restarted = CallTokenVerifier([KEY.public_key()], SetClock())
    with pytest.raises(InvalidCredentials) as refused:
        restarted.read(token)
    assert refused.value.details[HOST_START] == host_start_of(restarted) != start


@pytest.mark.parametrize("hours", [-1, -24, 1])
@pytest.mark.parametrize("release", ["this", "previous"])
def test_a_changed_clock_does_not_refuse_new_tokens(clock: SetClock, verifier: CallTokenVerifier, hours: int, release: str) -> None:
    host_start_of(verifier, clock)
    clock.set_back(-hours * 3600)
    for _ in range(3):
        start = host_start_of(verifier, clock) if release == "this" else None
        verifier.use(verifier.read(minted(host_start=start, clock=clock)), **FOR_IT)


def test_a_used_token_stays_used_when_the_clock_is_set_back(clock: SetClock, verifier: CallTokenVerifier) -> None:
    token = minted(host_start=host_start_of(verifier))
    verifier.use(verifier.read(token), **FOR_IT)
    clock.set_back(3600)
    host_start_of(verifier, clock)
    clock.advance(3601)
    with pytest.raises(InvalidCredentials, match="earlier start"):
        verifier.read(token)


def test_a_restarted_host_refuses_tokens_that_it_may_have_accepted_before() -> None:
    token = signed(claims(iat=NOW - 2, exp=NOW + 58))
    with pytest.raises(InvalidCredentials, match="before this host was started"):
        CallTokenVerifier([KEY.public_key()], SetClock()).read(token)


def test_both_keys_are_valid_during_a_rotation_and_only_the_new_one_afterwards() -> None:
    both = CallTokenVerifier(keys.read_public(keys.public_pem(KEY) + keys.public_pem(OTHER_KEY)), SetClock())
    both.read(minted(KEY))
    both.read(minted(OTHER_KEY))
    with pytest.raises(InvalidCredentials):
        CallTokenVerifier([OTHER_KEY.public_key()], SetClock()).read(minted(KEY))


def test_used_tokens_are_forgotten_after_they_expire() -> None:
    used = UsedTokens(3)
    for number in range(3):
        used.add(str(number), until=65 + number, now=number)
    with pytest.raises(ServiceUnavailable):
        used.add("3", until=70, now=64.9)
    used.add("3", until=130, now=65)
    assert len(used) == 3
    with pytest.raises(InvalidCredentials):
        used.add("3", until=130, now=129.9)
    used.add("3", until=200, now=130)
    assert len(used) == 1


def test_an_invalid_key_is_refused_without_being_quoted() -> None:
    private, public = keys.make_pair()
    for wrong in ("", "s3cret", public, private.replace("M", "N")):
        with pytest.raises(ValueError, match="Ed25519") as refused:
            keys.read_private(wrong)
        assert wrong == "" or wrong not in str(refused.value)
    for wrong in ("", "s3cret", private, public + public.replace("MCow", "MCox")):
        with pytest.raises(ValueError, match="key"):
            keys.read_public(wrong)
    assert keys.public_pem(keys.read_private(private)) == public
