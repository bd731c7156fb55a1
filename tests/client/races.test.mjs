import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { lostBefore } from "./server.mjs";
import { ALICE, BOB, World, heard } from "./world.mjs";

describe("races", () => {
  for (const locks of [true, false]) {
    const how = locks ? "with Web Locks" : "without Web Locks";

    test(`a log-out during a refresh stays one, ${how}`, async () => {
      const world = new World();
      const tab = await world.loggedIn({ env: { locks } });
      const users = heard(tab);
      world.server.latency = 2000;
      const refreshed = tab.refresh();
      await world.pass(0.5);
      await world.settle(tab.logOut());
      assert.equal(await world.settle(refreshed), null);
      await world.pass(60);
      assert.equal(await world.settle(tab.user()), null);
      assert.deepEqual(users, [null]);
      assert.equal(world.cookie, null);
    });

    test(`a fetch that cannot be aborted makes no difference, ${how}`, async () => {
      const world = new World();
      const deaf = (input, init) => world.server.fetch(input, { ...init, signal: undefined });
      const tab = await world.loggedIn({ env: { locks }, fetch: deaf });
      world.server.latency = 2000;
      const refreshed = tab.refresh();
      await world.pass(0.5);
      await world.settle(tab.logOut());
      await world.settle(refreshed);
      await world.pass(60);
      assert.equal(await world.settle(tab.user()), null);
      assert.equal(world.cookie, null);
    });
  }

  for (const deaf of [false, true]) {
    test(`a refresh answered after another tab's log-out does not log in, ${deaf ? "aborted or not" : "without Web Locks"}`, async () => {
      const world = new World();
      const env = { locks: false };
      const fetch = deaf ? (input, init) => world.server.fetch(input, { ...init, signal: undefined }) : world.server.fetch;
      const tab = await world.loggedIn({ env, fetch });
      const other = await world.another({ env });
      world.server.plan("/api/auth/refresh", async (_, answer) => {
        const late = answer();
        await world.sleepUntil(5000);
        return late;
      });
      const users = heard(tab);
      const refreshed = tab.refresh();
      await world.pass(1);
      await world.settle(other.logOut());
      assert.equal(await world.settle(refreshed), null);
      await world.pass(10);
      assert.equal(await world.settle(tab.user()), null);
      assert.deepEqual(users, [null]);
    });
  }

  test("a log-in waits for a refresh, so that the older cookie does not come last", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const other = await world.another();
    world.server.plan("/api/auth/refresh", async (_, answer) => {
      const late = answer();
      await world.sleepUntil(3000);
      return late;
    });
    tab.refresh();
    await world.pass(0.5);
    await world.settle(other.logIn(BOB));
    await world.pass(5);
    assert.match(world.cookie, /0002/);
    assert.equal((await world.settle(tab.user())).email, BOB.email);
  });

  test("a log-out that failed leaves the refresh that it stopped to be made again", async () => {
    const world = new World();
    (await world.loggedIn()).close();
    const tab = world.tab();
    world.server.latency = 1000;
    const restored = tab.user();
    await world.pass(0.2);
    world.server.plan("/api/auth/logout", lostBefore);
    await assert.rejects(world.settle(tab.logOut()), TypeError);
    assert.equal((await world.settle(restored)).email, ALICE.email);
  });

  test("a grant of a session that is over is not taken", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const other = await world.another();
    world.channelDelay = 30_000;
    await world.settle(other.refresh());
    world.channelDelay = 3;
    await world.settle(tab.logOut());
    const users = heard(tab);
    await world.pass(40);
    assert.equal(await world.settle(tab.user()), null);
    assert.deepEqual(users, []);
  });

  test("a grant of an older log-in is not taken", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const other = await world.another();
    world.channelDelay = 30_000;
    await world.settle(other.refresh());
    world.channelDelay = 3;
    await world.settle(tab.logIn(BOB));
    const users = heard(tab);
    await world.pass(40);
    assert.deepEqual(users, []);
    assert.equal((await world.settle(tab.user())).email, BOB.email);
  });

  test("an older grant of the same session is not taken, however late it comes", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const other = await world.another();
    world.channelDelay = 100_000;
    await world.settle(other.refresh());
    await world.pass(50);
    await world.settle(tab.refresh());
    const token = await world.settle(tab.token());
    await world.pass(60);
    assert.equal(await world.settle(tab.token()), token);
  });

  test("a grant that waited for a frozen tab is as old as it is", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const other = await world.another();
    const frozen = world.tab();
    world.channelDelay = 700_000;
    await world.settle(other.refresh());
    tab.close();
    other.close();
    await world.pass(701);
    const before = world.server.refreshes;
    world.channelDelay = 3;
    assert.ok(await world.settle(frozen.token()));
    assert.equal(world.server.refreshes, before + 1);
  });

  test("a listener that throws harms neither the others nor the client", async () => {
    const world = new World();
    const tab = world.tab();
    const reported = [];
    const original = console.error;
    console.error = (error) => reported.push(error.message);
    try {
      tab.onChange(() => {
        throw new Error("broken listener");
      });
      const users = heard(tab);
      assert.equal((await world.settle(tab.logIn(ALICE))).email, ALICE.email);
      assert.deepEqual(users, [ALICE.email]);
      assert.deepEqual(reported, ["broken listener"]);
    } finally {
      console.error = original;
    }
  });

  test("a listener may use the client, and stop listening", async () => {
    const world = new World();
    const tab = world.tab();
    const calls = [];
    const stop = tab.onChange((user) => {
      calls.push(user?.email);
      stop();
      tab.logOut();
    });
    await world.settle(tab.logIn(ALICE));
    await world.pass(1);
    assert.deepEqual(calls, [ALICE.email]);
    assert.equal(await world.settle(tab.user()), null);
  });

  test("close stops timers, listeners and messages, and the session lives on", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const users = heard(tab);
    const refreshed = tab.refresh();
    tab.close();
    await world.settle(refreshed);
    tab.happen("pointerdown");
    await world.pass(20_000);
    assert.equal(world.server.refreshes, 1);
    assert.equal(world.timers.size, 0);
    assert.equal(world.channels.size, 0);
    assert.deepEqual(users, []);
    tab.close();
  });
});
