// Verifies tokens with jose at times that the caller names. Each line of the input is JSON:
// {"jwks", "issuer", "audience", "now", "token"}, the JWK Set as its text and the time in seconds since 1970.
// Each line of the output is "ok" or why the token was refused.
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(join(process.env.VERIFIERS, "here.js")));
const { createLocalJWKSet, jwtVerify } = await import(pathToFileURL(require.resolve("jose")));
const sets = new Map();
for await (const line of createInterface({ input: process.stdin })) {
  const { jwks, issuer, audience, now, token } = JSON.parse(line);
  if (!sets.has(jwks)) sets.set(jwks, createLocalJWKSet(JSON.parse(jwks)));
  try {
    await jwtVerify(token, sets.get(jwks), {
      issuer,
      audience,
      typ: "at+jwt",
      requiredClaims: ["exp", "iat", "sub", "sid", "jti"],
      currentDate: new Date(now * 1000),
    });
    console.log("ok");
  } catch (refused) {
    console.log(`${refused.code}: ${refused.message}`);
  }
}
