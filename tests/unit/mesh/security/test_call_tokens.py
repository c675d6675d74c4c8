"""Call tokens: what a genuine one says, and every way in which a bad one is refused."""

import json
import time
from base64 import urlsafe_b64encode
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mesh.errors import ServiceUnavailable
from mesh.security import keys
from mesh.security.call_tokens import HOST_START, LONGEST_TOKEN, CallTokenSigner, CallTokenVerifier, UsedTokens
from mesh.security.errors import InvalidCredentials, TokenExpired
from mesh.security.identities import GATEWAY, ORCHESTRATOR, WORKER

KEY, OTHER_KEY = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
AGENT, EXECUTION = "own_helper_agent_1_1", "0199-execution"
FOR_IT = {"agent_id": AGENT, "execution_id": EXECUTION}


@pytest.fixture
def verifier() -> CallTokenVerifier:
    return CallTokenVerifier([KEY.public_key()])


def minted(key: Ed25519PrivateKey = KEY, issuer: str = ORCHESTRATOR, host_start: str | None = None) -> str:
    return CallTokenSigner(key, issuer).mint(agent_id=AGENT, user_id=42, execution_id=EXECUTION, host_start=host_start)


def encoded(data: bytes | dict[str, Any]) -> str:
    return urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    now = time.time()
    said = {"iss": ORCHESTRATOR, "aud": AGENT, "sub": "42", "execution_id": EXECUTION, "iat": now, "exp": now + 60, "jti": "one"}
    return {name: value for name, value in {**said, **changes}.items() if value is not None}


def signed(payload: dict[str, Any] | bytes, header: str | None = None) -> str:
    """A token with any payload, really signed with the key that hosts know, under the header that they know or another."""
    text = f"{minted().partition('.')[0] if header is None else header}.{encoded(payload)}"
    return f"{text}.{encoded(KEY.sign(text.encode()))}"


def test_a_token_says_who_asks_which_agent_for_which_execution_and_for_how_long(verifier: CallTokenVerifier) -> None:
    said = verifier.read(minted())
    assert (said.issuer, said.agent_id, said.user_id, said.execution_id) == (ORCHESTRATOR, AGENT, 42, EXECUTION)
    assert said.expires_at - said.issued_at == pytest.approx(60)
    assert abs(said.issued_at - time.time()) < 5
    verifier.use(said, **FOR_IT)


def test_another_implementation_reads_it_too() -> None:
    said = jwt.decode(minted(), KEY.public_key(), algorithms=["EdDSA"], audience=AGENT, issuer=ORCHESTRATOR)
    assert (said["sub"], said["execution_id"]) == ("42", EXECUTION)
    assert jwt.get_unverified_header(minted())["typ"] == "call+jwt"


def test_the_worker_may_mint_too_and_no_two_tokens_are_alike(verifier: CallTokenVerifier) -> None:
    assert verifier.read(minted(issuer=WORKER)).issuer == WORKER
    assert len({verifier.read(minted()).token_id for _ in range(50)}) == 50


def other_header(**changes: Any) -> str:
    header = jwt.get_unverified_header(minted())
    return encoded({**header, **changes})


def confused() -> str:
    """HS256 over the public key's text: what a verifier accepts that lets the token choose the algorithm."""
    text = f"{other_header(alg='HS256')}.{encoded(claims())}"
    return f"{text}.{encoded(jwt.api_jws.get_algorithm_by_name('HS256').sign(text.encode(), keys.public_pem(KEY).encode()))}"


def tampered() -> str:
    header, _, signature = minted().split(".")
    return f"{header}.{encoded(claims(sub='1'))}.{signature}"


MADE = time.time()
FORGED = {
    "missing": None,
    "empty": "",
    "no token": "nonsense",
    "dots alone": "..",
    "many dots": "a.b.c.d.e",
    "of another key": minted(OTHER_KEY),
    "of another key under the known header": f"{signed(claims()).rpartition('.')[0]}.{minted(OTHER_KEY).rpartition('.')[2]}",
    "alg none": f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{encoded(claims())}.",
    "alg none under the known key id": f"{other_header(alg='none')}.{encoded(claims())}.",
    "unsigned": minted().rpartition(".")[0] + ".",
    "without its last part": minted().rpartition(".")[0],
    "HS256 with the public key": confused(),
    "another type": signed(claims(), other_header(typ="at+jwt")),
    "a key id that climbs": signed(claims(), other_header(kid="../../../dev/null")),
    "an embedded key": signed(claims(), other_header(jwk={"kty": "OKP"})),
    "another subject": tampered(),
    "a cut signature": minted()[:-4],
    "not base64": minted().rpartition(".")[0] + ".é!?",
    "over-long": signed(claims(jti="x" * LONGEST_TOKEN)),
    "no object": signed(b"[]"),
    "no JSON": signed(b"\xff{"),
    "without an audience": signed(claims(aud=None)),
    "without an end": signed(claims(exp=None)),
    "without an id": signed(claims(jti=None)),
    "a subject that is no number": signed(claims(sub="root")),
    "of the gateway": minted(issuer=GATEWAY),
    "of nobody we know": signed(claims(iss="spiffe://elsewhere/orchestrator")),
    "from the future": signed(claims(iat=MADE + 600, exp=MADE + 660)),
    "good for a year": signed(claims(exp=time.time() + 31_536_000)),
    "good for ever": signed(claims(exp=float("inf"))),
    "ending at no time": signed(claims(exp=float("nan"))),
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED.keys())
def test_whatever_is_not_genuine_is_refused(monkeypatch: pytest.MonkeyPatch, token: str | None) -> None:
    monkeypatch.setattr("mesh.security.call_tokens.time", lambda: MADE + 1)  # not because it has expired, however late the tests run
    verifier = CallTokenVerifier([KEY.public_key()])
    with pytest.raises(InvalidCredentials) as refused:
        verifier.read(token)
    assert "call token" in refused.value.message


def test_it_expires_after_a_minute_and_what_clocks_may_differ_by(monkeypatch: pytest.MonkeyPatch, verifier: CallTokenVerifier) -> None:
    token, now = minted(), time.time()
    monkeypatch.setattr("mesh.security.call_tokens.time", lambda: now + 64)
    verifier.read(token)
    monkeypatch.setattr("mesh.security.call_tokens.time", lambda: now + 66)
    with pytest.raises(TokenExpired):
        verifier.read(token)


def test_a_clock_that_is_a_little_ahead_does_no_harm(verifier: CallTokenVerifier) -> None:
    ahead = time.time() + 3
    verifier.use(verifier.read(signed(claims(iat=ahead, exp=ahead + 60))), **FOR_IT)


def test_it_lets_one_call_in_and_no_second(verifier: CallTokenVerifier) -> None:
    token = minted()
    verifier.use(verifier.read(token), **FOR_IT)
    with pytest.raises(InvalidCredentials, match="has been used"):
        verifier.use(verifier.read(token), **FOR_IT)


def test_the_same_token_written_otherwise_is_used_all_the_same(verifier: CallTokenVerifier) -> None:
    token = minted()
    verifier.use(verifier.read(token), **FOR_IT)
    with pytest.raises(InvalidCredentials, match="has been used"):
        verifier.use(verifier.read(token + "=="), **FOR_IT)


WRONG_USES = [{"agent_id": "own_helper_agent_1_2"}, {"agent_id": ""}, {"execution_id": "another"}, {"execution_id": ""}]


@pytest.mark.parametrize("wrong", WRONG_USES)
def test_it_is_for_one_execution_of_one_agent_and_a_wrong_use_leaves_it_good(verifier: CallTokenVerifier, wrong: dict[str, str]) -> None:
    said = verifier.read(minted())
    with pytest.raises(InvalidCredentials, match="is for another"):
        verifier.use(said, **{**FOR_IT, **wrong})
    verifier.use(said, **FOR_IT)


def start_told_by(verifier: CallTokenVerifier) -> str:
    """The host's start, from the refusal of a token that names another."""
    with pytest.raises(InvalidCredentials, match="earlier start of this host") as refused:
        verifier.read(minted(host_start=""))
    return refused.value.details[HOST_START]


def test_a_token_of_an_earlier_start_is_refused_with_the_start_to_mint_for(verifier: CallTokenVerifier) -> None:
    start = start_told_by(verifier)
    token = minted(host_start=start)
    verifier.use(verifier.read(token), **FOR_IT)
    restarted = CallTokenVerifier([KEY.public_key()])
    with pytest.raises(InvalidCredentials) as refused:
        restarted.read(token)
    assert refused.value.details[HOST_START] == start_told_by(restarted) != start


@pytest.mark.parametrize("hours", [-1, -24, 1])
@pytest.mark.parametrize("release", ["this", "previous"])
def test_a_clock_that_is_set_refuses_no_new_token(
    monkeypatch: pytest.MonkeyPatch, verifier: CallTokenVerifier, hours: int, release: str
) -> None:
    start_told_by(verifier)
    now = time.time() + hours * 3600
    monkeypatch.setattr("mesh.security.call_tokens.time", lambda: now)
    for _ in range(3):
        start = start_told_by(verifier) if release == "this" else None
        verifier.use(verifier.read(minted(host_start=start)), **FOR_IT)


def test_a_token_that_was_used_before_the_clock_was_set_back_is_not_valid_again_later(
    monkeypatch: pytest.MonkeyPatch, verifier: CallTokenVerifier
) -> None:
    token, made = minted(host_start=start_told_by(verifier)), time.time()
    verifier.use(verifier.read(token), **FOR_IT)
    monkeypatch.setattr("mesh.security.call_tokens.time", lambda: made - 3600)
    start_told_by(verifier)
    monkeypatch.setattr("mesh.security.call_tokens.time", lambda: made + 1)
    with pytest.raises(InvalidCredentials, match="earlier start"):
        verifier.read(token)


def test_a_host_that_has_just_begun_takes_no_token_that_the_one_before_may_have_taken() -> None:
    token = signed(claims(iat=time.time() - 2, exp=time.time() + 58))
    with pytest.raises(InvalidCredentials, match="before this host was started"):
        CallTokenVerifier([KEY.public_key()]).read(token)


def test_during_a_rotation_both_keys_are_good_and_afterwards_only_the_new() -> None:
    both = CallTokenVerifier(keys.read_public(keys.public_pem(KEY) + keys.public_pem(OTHER_KEY)))
    both.read(minted(KEY))
    both.read(minted(OTHER_KEY))
    with pytest.raises(InvalidCredentials):
        CallTokenVerifier([OTHER_KEY.public_key()]).read(minted(KEY))


def test_used_tokens_are_forgotten_when_they_could_not_be_used_anyway() -> None:
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


def test_keys_that_are_none_are_told_without_being_quoted() -> None:
    private, public = keys.make_pair()
    for wrong in ("", "s3cret", public, private.replace("M", "N")):
        with pytest.raises(ValueError, match="Ed25519") as refused:
            keys.read_private(wrong)
        assert wrong == "" or wrong not in str(refused.value)
    for wrong in ("", "s3cret", private, public + public.replace("MCow", "MCox")):
        with pytest.raises(ValueError, match="key"):
            keys.read_public(wrong)
    assert keys.public_pem(keys.read_private(private)) == public
