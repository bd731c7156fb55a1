import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { ALICE, BOB, World, heard } from "./world.mjs";

/** An answer that no client has any use for. */
const away = () => new Response("away", { status: 502 });
const id = (tab) => tab.user().then((user) => user.id);

describe("a page that was made for a user", () => {
  test("tells of nothing while that user is logged in", async () => {
    const world = new World();
    const alice = await world.settle(id(await world.loggedIn()));
    const tab = world.tab({ user: alice });
    const users = heard(tab);
    assert.equal((await world.settle(tab.user())).email, ALICE.email);
    assert.deepEqual(users, []);
  });

  test("hears of another user or none when it first asks", async () => {
    const world = new World();
    const alice = await world.settle(id(await world.loggedIn()));
    await world.settle(world.tab().logIn(BOB));
    const tab = world.tab({ user: alice });
    const users = heard(tab);
    await world.settle(tab.user());
    assert.deepEqual(users, [BOB.email]);

    await world.settle(world.tab().logOut());
    const another = world.tab({ user: alice });
    const told = heard(another);
    await world.settle(another.user());
    assert.deepEqual(told, [null]);
  });

  test("sends nothing in another user's name", async () => {
    const world = new World();
    const alice = await world.settle(id(await world.loggedIn()));
    await world.settle(world.tab().logIn(BOB));
    const sent = [];
    const fetch = (input, init) => {
      if (input instanceof Request) sent.push(input.headers.get("Authorization"));
      return world.server.fetch(input, init);
    };
    const tab = world.tab({ user: alice, fetch });
    await world.settle(tab.fetch("/api/users/me/tasks", { method: "POST", body: "hers" }));
    assert.deepEqual(sent, [null]);
  });

  test("that could not ask yet hears of a sign-out all the same", async () => {
    const world = new World();
    const first = await world.loggedIn();
    const alice = await world.settle(id(first));
    world.server.plan("/api/auth/refresh", away, away, away);
    const tab = world.tab({ user: alice });
    const users = heard(tab);
    await assert.rejects(world.settle(tab.user()));
    await world.settle(first.logOut());
    await world.pass(5);
    assert.deepEqual(users, [null]);
  });
});
