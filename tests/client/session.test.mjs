import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { DoorwardError } from "../../crates/http/assets/client/doorward.js";
import { lostBefore } from "./server.mjs";
import { ALICE, BOB, ORIGIN, World, heard } from "./world.mjs";

describe("logging in and out", () => {
  test("a log-in in cookie mode gives the user, and no token is kept anywhere but in memory", async () => {
    const world = new World();
    const tab = world.tab();
    const users = heard(tab);
    const user = await world.settle(tab.logIn(ALICE));
    assert.equal(user.email, ALICE.email);
    assert.deepEqual(users, [ALICE.email]);
    const [request] = world.server.requests;
    assert.deepEqual(JSON.parse(request.sent), { ...ALICE, session: "cookie" });
    assert.equal(request.credentials, "include");
    assert.equal(request.url, `${ORIGIN}/api/auth/login`);
  });

  test("a wrong password rejects with the problem and leaves things as they were", async () => {
    const world = new World();
    const tab = world.tab();
    const users = heard(tab);
    const error = await world.settle(tab.logIn({ ...ALICE, password: "wrong" })).catch((thrown) => thrown);
    assert.ok(error instanceof DoorwardError);
    assert.equal(error.code, "invalid_credentials");
    assert.deepEqual(users, []);
  });

  test("registering logs in where the server does", async () => {
    const world = new World();
    const tab = world.tab();
    const user = await world.settle(tab.register({ ...ALICE, name: "Alice" }));
    assert.equal(user.name, "Alice");
    assert.equal((await world.settle(tab.user())).email, ALICE.email);
    assert.equal(world.server.refreshes, 0);
  });

  test("registering gives null where a mail is sent first", async () => {
    const world = new World({ registration: "verified" });
    const tab = world.tab();
    assert.equal(await world.settle(tab.register(ALICE)), null);
    assert.equal(await world.settle(tab.user()), null);
  });

  test("a reload keeps the session", async () => {
    const world = new World();
    (await world.loggedIn()).close();
    const tab = world.tab();
    const users = heard(tab);
    assert.equal((await world.settle(tab.user())).email, ALICE.email);
    assert.deepEqual(users, [ALICE.email]);
    assert.equal(world.server.refreshes, 1);
  });

  test("without a cookie nobody is logged in, and that is asked once and no change", async () => {
    const world = new World();
    const tab = world.tab();
    const users = heard(tab);
    assert.equal(await world.settle(tab.user()), null);
    assert.equal(await world.settle(tab.user()), null);
    assert.equal(await world.settle(tab.token()), null);
    assert.equal(world.server.refreshes, 1);
    assert.deepEqual(users, []);
  });

  test("a log-out tells the server and everybody", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const other = await world.another();
    const users = heard(other);
    await world.settle(tab.logOut());
    await world.pass(1);
    assert.equal(world.cookie, null);
    assert.equal(await world.settle(tab.user()), null);
    assert.equal(await world.settle(other.user()), null);
    assert.deepEqual(users, [null]);
    assert.equal((await world.settle(other.fetch("/api/users/me/tasks"))).status, 401);
  });

  test("a log-out that the network loses rejects, and the user is still logged in", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    world.server.plan("/api/auth/logout", lostBefore);
    await assert.rejects(world.settle(tab.logOut()), TypeError);
    assert.equal((await world.settle(tab.user())).email, ALICE.email);
  });

  test("a log-out of what has ended already is one", async () => {
    const world = new World();
    const tab = world.tab();
    await world.settle(tab.logOut());
    assert.equal(await world.settle(tab.user()), null);
  });

  test("a log-in after a log-out is not undone by what was said about the session before", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const other = await world.another();
    world.channelDelay = 60_000;
    await world.settle(tab.logOut());
    world.channelDelay = 3;
    await world.settle(other.logIn(BOB));
    await world.pass(61);
    assert.equal((await world.settle(other.user())).email, BOB.email);
    assert.equal((await world.settle(tab.user())).email, BOB.email);
  });
});
