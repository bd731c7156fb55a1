import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { DoorwardError } from "../../crates/http/assets/client/doorward.js";
import { expire, problem } from "./server.mjs";
import { ALICE, BOB, ORIGIN, World } from "./world.mjs";

describe("fetch", () => {
  test("the access token goes along, and relative inputs resolve against the base", async () => {
    const world = new World();
    const tab = await world.loggedIn({ baseUrl: `${ORIGIN}/prefix/` });
    const response = await world.settle(tab.fetch("api/users/me/tasks?limit=5", { headers: { "X-Mine": "1" } }));
    assert.deepEqual(await response.json(), { who: ALICE.email, text: "" });
    const request = world.server.requests.at(-1);
    assert.equal(request.url, `${ORIGIN}/prefix/api/users/me/tasks?limit=5`);
    assert.equal(request.headers.get("X-Mine"), "1");
    assert.equal(world.server.requests[0].url, `${ORIGIN}/prefix/api/auth/login`);
    await world.settle(tab.fetch("/api/other"));
    assert.equal(world.server.requests.at(-1).url, `${ORIGIN}/api/other`);
  });

  test("another origin is refused before anything is sent", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const before = world.server.requests.length;
    const elsewhere = ["https://evil.example/", "//evil.example/", "/\\evil.example/", "http://app.example/", "https://app.example:8443/"];
    for (const input of [...elsewhere, "https://app.example@evil.example/", "data:text/plain,hi", new URL("https://evil.example/"), new Request("https://evil.example/")]) {
      await assert.rejects(world.settle(tab.fetch(input)), TypeError, String(input));
    }
    assert.equal(world.server.requests.length, before);
  });

  test("401: one refresh, one repetition with the body, then what came", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    expire(world);
    const response = await world.settle(tab.fetch("/api/x", { method: "POST", body: "a body" }));
    assert.deepEqual(await response.json(), { who: ALICE.email, text: "a body" });
    assert.equal(world.server.refreshes, 1);
    assert.equal(world.server.count("/api/x"), 2);
  });

  test("401 for good: it gives up after one repetition", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const refuse = () => problem(401, "unauthenticated");
    world.server.plan("/api/x", refuse, refuse, refuse, refuse);
    const response = await world.settle(tab.fetch("/api/x"));
    assert.equal(response.status, 401);
    assert.equal((await response.json()).code, "unauthenticated");
    assert.equal(world.server.count("/api/x"), 2);
    assert.equal(world.server.refreshes, 1);
  });

  test("a body that streams is repeated too", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    expire(world);
    const body = new Blob(["streamed"]).stream();
    const response = await world.settle(tab.fetch(new Request(`${ORIGIN}/api/x`, { method: "POST", body, duplex: "half" })));
    assert.equal((await response.json()).text, "streamed");
  });

  test("many refused at once are one refresh", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    expire(world);
    const responses = await world.settle(Promise.all(Array.from({ length: 8 }, (_, i) => tab.fetch(`/api/${i}`))));
    assert.ok(responses.every((response) => response.ok));
    assert.equal(world.server.refreshes, 1);
  });

  test("one that was sent with an older token is repeated without another refresh", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    world.server.plan("/api/slow", async () => {
      await world.sleepUntil(2000);
      return problem(401, "unauthenticated");
    });
    const slow = tab.fetch("/api/slow");
    await world.pass(1);
    await world.settle(tab.refresh());
    assert.equal((await world.settle(slow)).status, 200);
    assert.equal(world.server.refreshes, 1);
  });

  test("what one user asked for is not repeated as another", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    expire(world);
    world.cookie = world.server.begin({ email: BOB.email, session: "cookie" }, 200).setCookie;
    const response = await world.settle(tab.fetch("/api/x", { method: "POST", body: "mine" }));
    assert.equal(response.status, 401);
    assert.equal(world.server.count("/api/x"), 1);
  });

  test("nor is it sent as another in the first place", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    await world.pass(700);
    world.cookie = world.server.begin({ email: BOB.email, session: "cookie" }, 200).setCookie;
    const response = await world.settle(tab.fetch("/api/x", { method: "POST", body: "mine" }));
    assert.equal(response.status, 401);
    assert.equal(world.server.requests.at(-1).headers.get("Authorization"), null);
    assert.equal((await world.settle(tab.user())).email, BOB.email);
  });

  test("with nobody logged in it goes out without a token, and 401 is what it is", async () => {
    const world = new World();
    const tab = world.tab();
    const response = await world.settle(tab.fetch("/api/x"));
    assert.equal(response.status, 401);
    assert.equal(world.server.requests.at(-1).headers.get("Authorization"), null);
    assert.equal(world.server.refreshes, 1);
  });

  test("it restores the session first", async () => {
    const world = new World();
    (await world.loggedIn()).close();
    assert.equal((await world.settle(world.tab().fetch("/api/x"))).status, 200);
  });

  test("a refused request is a typed error where one wants it", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    world.server.plan("/api/x", () => problem(412, "version_conflict"));
    const error = await DoorwardError.from(await world.settle(tab.fetch("/api/x", { method: "PUT", body: "{}" })));
    assert.equal(error.code, "version_conflict");
  });
});
