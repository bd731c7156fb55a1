"""Verifies a token with PyJWT: verify.py JWKS_URL ISSUER AUDIENCE TOKEN. Prints its subject."""

import sys

import jwt

jwks_url, issuer, audience, token = sys.argv[1:]
key = jwt.PyJWKClient(jwks_url).get_signing_key_from_jwt(token)
claims = jwt.decode(
    token,
    key,
    algorithms=["EdDSA", "ES256", "RS256"],
    issuer=issuer,
    audience=audience,
    options={"require": ["exp", "iat", "iss", "aud", "sub", "sid", "jti"]},
)
assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
print(claims["sub"])
