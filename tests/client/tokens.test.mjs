import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { ALICE, BOB, World } from "./world.mjs";

describe("token mode", () => {
  function kept(token = null) {
    const storage = {
      token,
      load: () => Promise.resolve(storage.token),
      save: (next) => Promise.resolve().then(() => void (storage.token = next)),
    };
    return storage;
  }

  test("the refresh token is kept in storage, and nothing else is", async () => {
    const world = new World();
    const storage = kept();
    const client = world.tab({ session: "token", storage });
    await world.settle(client.logIn(ALICE));
    assert.equal(storage.token, "refresh.0194-0001.1");
    assert.equal(world.server.requests[0].credentials, "omit");
    assert.equal(JSON.parse(world.server.requests[0].sent).session, "token");
    await world.settle(client.refresh());
    assert.equal(storage.token, "refresh.0194-0001.2");
    assert.equal(world.cookie, null);

    const later = world.tab({ session: "token", storage });
    assert.equal((await world.settle(later.user())).email, ALICE.email);
    await world.settle(later.logOut());
    assert.equal(storage.token, null);
    assert.ok(world.server.sessions.get("0194-0001").ended);
  });

  test("with nothing in storage nothing is asked", async () => {
    const world = new World();
    const client = world.tab({ session: "token" });
    assert.equal(await world.settle(client.user()), null);
    assert.equal(world.server.requests.length, 0);
  });

  test("a token that is refused is forgotten", async () => {
    const world = new World();
    const storage = kept("refresh.none.1");
    assert.equal(await world.settle(world.tab({ session: "token", storage }).user()), null);
    assert.equal(storage.token, null);
  });

  test("clients of one process share nothing", async () => {
    const world = new World();
    const [alice, bob] = [world.tab({ session: "token" }), world.tab({ session: "token" })];
    await world.settle(alice.logIn(ALICE));
    await world.settle(bob.logIn(BOB));
    await world.pass(1);
    assert.equal(world.channels.size, 0);
    assert.equal((await world.settle(alice.user())).email, ALICE.email);
    await world.settle(bob.logOut());
    assert.equal((await world.settle(alice.user())).email, ALICE.email);
  });

  test("a log-out during a refresh leaves nothing in storage", async () => {
    const world = new World();
    const storage = kept();
    const client = world.tab({ session: "token", storage });
    await world.settle(client.logIn(ALICE));
    world.server.latency = 1000;
    const refreshed = client.refresh();
    await world.pass(0.5);
    await world.settle(client.logOut());
    assert.equal(await world.settle(refreshed), null);
    assert.equal(storage.token, null);
  });

  test("storage that fails is told, and the session can be had later", async () => {
    const world = new World();
    const storage = kept();
    const client = world.tab({ session: "token", storage });
    await world.settle(client.logIn(ALICE));
    const { save } = storage;
    storage.save = () => Promise.reject(new Error("disk full"));
    await assert.rejects(world.settle(client.refresh()), { message: "disk full" });
    storage.save = save;
    assert.equal((await world.settle(client.refresh())).email, ALICE.email);
  });
});
