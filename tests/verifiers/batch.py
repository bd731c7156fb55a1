"""Verifies tokens with PyJWT at times that the caller names.

Each line of the input is JSON: {"jwks", "issuer", "audience", "now", "token"}, the JWK Set as its text and the time in
seconds since 1970. Each line of the output is "ok" or why the token was refused.
"""

import json
import sys
from datetime import datetime, timezone
from functools import lru_cache

import jwt
from jwt import api_jwt


class Told(datetime):
    """The time of day, as the input tells it."""

    moment = 0.0

    @classmethod
    def now(cls, tz=None):
        return datetime.fromtimestamp(cls.moment, tz or timezone.utc)


api_jwt.datetime = Told


@lru_cache
def key_set(text):
    return jwt.PyJWKSet.from_json(text)


def judge(line):
    case = json.loads(line)
    Told.moment = case["now"]
    try:
        key = key_set(case["jwks"])[jwt.get_unverified_header(case["token"])["kid"]]
        jwt.decode(
            case["token"],
            key,
            algorithms=["EdDSA", "ES256", "RS256"],
            issuer=case["issuer"],
            audience=case["audience"],
            options={"require": ["exp", "iat", "iss", "aud", "sub", "sid", "jti"]},
        )
    except (jwt.PyJWTError, KeyError) as refused:
        return f"{type(refused).__name__}: {refused}"
    return "ok"


for line in sys.stdin:
    print(judge(line).replace("\n", " "))
