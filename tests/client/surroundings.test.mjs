import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, test } from "node:test";
import { promisify } from "node:util";

import { createClient } from "../../crates/http/assets/client/doorward.js";
import { World } from "./world.mjs";

describe("surroundings", () => {
  test("without a page the base has to be absolute", () => {
    assert.throws(() => createClient(), TypeError);
    createClient({ baseUrl: "https://auth.example" }).close();
  });

  test("a page without an origin may name an absolute base", () => {
    const world = new World();
    world.tab({ baseUrl: "https://auth.example", env: { location: { href: "file:///app/index.html" } } }).close();
    world.tab({ baseUrl: "https://auth.example", env: { location: { href: "about:srcdoc" } } }).close();
  });

  test("a process can end while a client is open", async () => {
    const program = `
      import { createClient } from "./doorward.js";
      const grant = { access_token: "a", expires_in: 600, refresh_expires_in: 5000, session_id: "1", user: { id: "u", email: "e" } };
      const fetch = async () => Response.json(grant);
      for (const session of ["cookie", "token"]) {
        const client = createClient({ baseUrl: "https://auth.example", session, fetch });
        client.onExpiring(() => {});
        console.log((await client.logIn({ email: "e", password: "p" })).id, await client.token());
      }`;
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], {
      cwd: new URL("../../crates/http/assets/client/", import.meta.url),
      timeout: 5000,
    });
    assert.equal(stdout, "u a\nu a\n");
  });
});
