import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";

import { solve } from "../../crates/http/assets/client/proof.js";
import { lostBefore, problem } from "./server.mjs";
import { ALICE, World, heard } from "./world.mjs";

const CHALLENGE = `dwp_${"Ab3_-".repeat(15)}wxyz`;

const digest = (text) => createHash("sha256").update(text).digest();

/** Whether a text is a solution, by another's SHA-256. */
function solves(proof, challenge, bits) {
  const [text, number, ...more] = proof.split(".");
  const zeros = digest(proof).readUInt32BE() < 2 ** (32 - bits);
  return text === challenge && /^\d{1,20}$/.test(number) && more.length === 0 && zeros;
}

/** What answers a request as a Doorward does that asks for a proof, until there is one. */
const asking = (bits = 8) => (request, answer) => {
  const proof = request.headers.get("Doorward-Proof");
  if (proof && solves(proof, CHALLENGE, bits)) return answer();
  return problem(428, "proof_required", { challenge: CHALLENGE, difficulty: bits });
};

describe("solve", () => {
  test("the digest begins with as many zeros as asked for, and no smaller number does it", async () => {
    for (const bits of [0, 1, 8, 12]) {
      const proof = await solve(CHALLENGE, bits);
      assert.ok(solves(proof, CHALLENGE, bits), `${bits} bits: ${proof}`);
      const number = Number(proof.split(".")[1]);
      for (let smaller = 0; smaller < number; smaller++) {
        assert.ok(!solves(`${CHALLENGE}.${smaller}`, CHALLENGE, bits), `${bits} bits: ${smaller} was passed over`);
      }
    }
  });

  test("a challenge of any length is digested right", async () => {
    for (let length = 0; length <= 130; length++) {
      const challenge = "x".repeat(length);
      assert.ok(solves(await solve(challenge, 6), challenge, 6), `${length} characters`);
    }
  });

  test("it leaves others their turn", async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    // Most of a million digests, which is many slices on whatever machine.
    await solve(CHALLENGE, 18);
    clearInterval(timer);
    assert.ok(turns >= 5, `${turns} turns`);
  });

  test("what nobody can solve is refused", async () => {
    for (const bits of [33, -1, NaN, undefined]) await assert.rejects(solve(CHALLENGE, bits), RangeError, String(bits));
  });
});

describe("a client that is asked for a proof", () => {
  for (const [verb, path] of [["register", "/api/auth/register"], ["logIn", "/api/auth/login"]]) {
    test(`${verb} solves it and asks again, once`, async () => {
      const world = new World();
      const tab = world.tab();
      const users = heard(tab);
      world.server.plan(path, asking(), asking());
      const user = await world.settle(tab[verb](ALICE));
      assert.equal(user.email, ALICE.email);
      assert.deepEqual(users, [ALICE.email]);
      const [first, second] = world.server.requests;
      assert.equal(world.server.requests.length, 2);
      assert.equal(first.headers.get("Doorward-Proof"), null);
      assert.equal(first.sent, second.sent);
    });
  }

  test("a proof that is refused is not solved for ever, and the error says what was to be solved", async () => {
    const world = new World();
    const tab = world.tab();
    world.server.plan("/api/auth/login", asking(), asking(30), asking());
    const error = await world.settle(tab.logIn(ALICE)).catch((error) => error);
    assert.deepEqual([error.code, error.status, error.challenge, error.difficulty], ["proof_required", 428, CHALLENGE, 30]);
    assert.equal(world.server.requests.length, 2);
  });

  test("other refusals are not taken for it", async () => {
    const world = new World();
    const tab = world.tab();
    for (const answer of [() => problem(428, "other"), () => problem(428, "proof_required"), lostBefore]) {
      const before = world.server.requests.length;
      world.server.plan("/api/auth/login", answer);
      await assert.rejects(world.settle(tab.logIn(ALICE)));
      assert.equal(world.server.requests.length, before + 1);
    }
  });

  test("another tab refreshes meanwhile", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const other = await world.another();
    world.server.plan("/api/auth/register", asking(), asking());
    const registered = tab.register({ email: "carol@example.com", password: "yet another long password" });
    assert.equal((await world.settle(other.refresh())).email, ALICE.email);
    assert.equal((await world.settle(registered)).email, "carol@example.com");
  });
});
