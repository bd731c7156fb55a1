import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { lostBefore } from "./server.mjs";
import { World, heard } from "./world.mjs";

describe("time", () => {
  test("a session in use is refreshed ahead, between 75 and 90 % of the token's life", async () => {
    for (const [random, at] of [[0, 450], [0.999, 540]]) {
      const world = new World();
      const tab = await world.loggedIn({ env: { random: () => random } });
      await world.settle(tab.token());
      await world.pass(at - 3);
      assert.equal(world.server.refreshes, 0);
      await world.pass(5);
      assert.equal(world.server.refreshes, 1);
    }
  });

  test("an idle tab does not refresh ahead, and does on the next need", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    await world.pass(2000);
    assert.equal(world.server.refreshes, 0);
    await world.settle(tab.user());
    assert.equal(world.server.refreshes, 1);
    assert.equal((await world.settle(tab.fetch("/api/x"))).status, 200);
  });

  test("a hand on the page is use, a hidden page is not", async () => {
    for (const [type, state, refreshes] of [["pointerdown", "visible", 1], ["keydown", "visible", 1], ["visibilitychange", "visible", 1], ["visibilitychange", "hidden", 0], ["online", "visible", 0]]) {
      const world = new World();
      const tab = await world.loggedIn();
      tab.around.document.visibilityState = state;
      await world.pass(100);
      tab.happen(type);
      await world.pass(700);
      assert.equal(world.server.refreshes, refreshes, `${type}, ${state}`);
    }
  });

  test("a refresh ahead that fails is not hammered", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    await world.settle(tab.user());
    world.server.plan("/api/auth/refresh", ...Array(100).fill(lostBefore));
    await world.pass(560);
    for (let i = 0; i < 60; i++) {
      tab.happen("keydown");
      await world.pass(1);
    }
    assert.ok(world.server.refreshes <= 20, `${world.server.refreshes} requests`);
  });

  test("one tab's refresh ahead serves all tabs", async () => {
    const world = new World();
    const tabs = [await world.loggedIn(), await world.another(), await world.another()];
    const before = world.server.refreshes;
    for (const tab of tabs) tab.happen("keydown");
    await world.pass(600);
    assert.equal(world.server.refreshes, before + 1);
    for (const tab of tabs) assert.equal((await world.settle(tab.fetch("/api/x"))).status, 200);
    assert.equal(world.server.refreshes, before + 1);
  });

  test("after sleep, which stops the monotonic clock, the token is known to be old", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    world.wall += 3600_000;
    world.slept = 3600;
    assert.equal((await world.settle(tab.fetch("/api/x"))).status, 200);
    assert.equal(world.server.count("/api/x"), 1, "the old token was not tried");
  });

  test("after sleep past the end the session is over without a hand", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const users = heard(tab);
    world.wall += 20_000_000;
    world.slept = 20_000;
    await world.pass(31);
    assert.deepEqual(users, [null]);
    assert.equal(world.server.refreshes, 1);
  });

  for (const [years, how] of [[-30, "years behind"], [30, "years ahead"]]) {
    test(`a wall clock that is ${how} changes nothing`, async () => {
      const world = new World();
      world.wall += years * 31_557_600_000;
      const tab = await world.loggedIn({ env: { random: () => 0 } });
      await world.settle(tab.user());
      await world.pass(440);
      assert.equal(world.server.refreshes, 0);
      await world.pass(20);
      assert.equal(world.server.refreshes, 1);
    });
  }

  test("a wall clock that jumps back does not make the token young", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    await world.settle(tab.user());
    world.wall -= 31_557_600_000;
    await world.pass(545);
    assert.equal(world.server.refreshes, 1);
    assert.equal((await world.settle(tab.fetch("/api/x"))).status, 200);
    const other = await world.another();
    assert.equal((await world.settle(other.fetch("/api/x"))).status, 200);
    world.server.requests.length = 0;
    await world.pass(700);
    assert.equal((await world.settle(tab.fetch("/api/x"))).status, 200);
    assert.equal(world.server.count("/api/x"), 1);
  });

  test("after the wall clock jumped back tabs still take each other's grants", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const other = await world.another();
    world.wall -= 31_557_600_000;
    await world.pass(100);
    await world.settle(other.refresh());
    await world.pass(1);
    assert.equal(await world.settle(tab.token()), await world.settle(other.token()));
  });

  test("a wall clock that jumps years ahead costs one refresh and ends nothing", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const users = heard(tab);
    const notices = [];
    tab.onExpiring((expiring) => notices.push(expiring));
    world.wall += 31_557_600_000;
    await world.pass(100);
    assert.equal(world.server.refreshes, 1);
    assert.deepEqual([users, notices], [[], []]);
    assert.equal((await world.settle(tab.fetch("/api/x"))).status, 200);
    assert.equal(world.server.refreshes, 1);
  });

  test("a page out of the back/forward cache asks whether the session is still there", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const users = heard(tab);
    for (const session of world.server.sessions.values()) session.ended = true;
    tab.happen("pageshow", { persisted: false });
    await world.pass(1);
    assert.deepEqual(users, []);
    tab.happen("pageshow", { persisted: true });
    await world.pass(1);
    assert.deepEqual(users, [null]);
  });
});
