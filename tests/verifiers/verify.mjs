// Verifies a token with jose: verify.mjs JWKS_URL ISSUER AUDIENCE TOKEN. Prints its subject.
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(join(process.env.VERIFIERS, "here.js")));
const { createRemoteJWKSet, jwtVerify } = await import(pathToFileURL(require.resolve("jose")));
const [jwksUrl, issuer, audience, token] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(jwksUrl));
const { payload } = await jwtVerify(token, keys, {
  issuer,
  audience,
  typ: "at+jwt",
  requiredClaims: ["exp", "iat", "sub", "sid", "jti"],
});
console.log(payload.sub);
