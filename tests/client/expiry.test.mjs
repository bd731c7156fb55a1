import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { lostBefore } from "./server.mjs";
import { ALICE, World, heard } from "./world.mjs";

function expirings(client, world) {
  const seen = [];
  const started = world.mono;
  client.onExpiring((expiring) => seen.push({ expiring, at: Math.round((world.mono - started) / 1000) }));
  return seen;
}

describe("the session's end", () => {
  test("it is told of once, noticeBefore ahead, in all tabs, and comes", async () => {
    const world = new World({ idle: 1000 });
    const tab = await world.loggedIn();
    const other = await world.another();
    const seen = [expirings(tab, world), expirings(other, world)];
    const users = heard(tab);
    const before = world.server.refreshes;
    await world.pass(990);
    assert.deepEqual(seen.map((each) => each.map(({ at }) => at)), [[880], [880]]);
    assert.deepEqual(users, []);
    await world.pass(30);
    assert.deepEqual(users, [null]);
    assert.equal(world.server.refreshes, before + 1, "asked once, when it could no longer be prolonged");
    assert.equal(seen[0].length, 1);
    assert.equal(seen[0][0].expiring.secondsLeft, 0);
  });

  test("its times are current", async () => {
    const world = new World({ idle: 1000 });
    const tab = await world.loggedIn();
    const seen = expirings(tab, world);
    await world.pass(881);
    const { expiring } = seen[0];
    const left = expiring.secondsLeft;
    assert.ok(left > 115 && left <= 120, String(left));
    assert.ok(Math.abs(expiring.endsAt - world.wall - left * 1000) < 1001);
    await world.pass(60);
    assert.equal(expiring.secondsLeft, left - 60);
  });

  test("extend puts it off in all tabs and arms it again", async () => {
    const world = new World({ idle: 1000 });
    const tab = await world.loggedIn();
    const other = await world.another();
    const seen = [expirings(tab, world), expirings(other, world)];
    await world.pass(900);
    assert.equal(await world.settle(seen[0][0].expiring.extend()), true);
    await world.pass(1);
    for (const [first] of seen) assert.ok(first.expiring.secondsLeft > 990);
    // The other tab's user wants to stay as well.
    assert.equal(await world.settle(seen[1][0].expiring.extend()), true);
    await world.pass(870);
    assert.deepEqual(seen.map((each) => each.length), [1, 1]);
    await world.pass(30);
    assert.deepEqual(seen.map((each) => each.length), [2, 2]);
  });

  test("a short session is told of at half of what it had", async () => {
    const world = new World({ idle: 100 });
    const seen = expirings(await world.loggedIn(), world);
    await world.pass(49);
    assert.equal(seen.length, 0);
    await world.pass(2);
    assert.equal(seen.length, 1);
  });

  test("noticeBefore is the application's to say, and 0 is never", async () => {
    const world = new World({ idle: 1000 });
    const early = expirings(await world.loggedIn({ noticeBefore: 300 }), world);
    const none = expirings(await world.another({ noticeBefore: 0 }), world);
    await world.pass(990);
    assert.deepEqual(early.map(({ at }) => at), [700]);
    assert.equal(none.length, 0);
  });

  test("at the absolute limit extend gives false, and the notice does not come again", async () => {
    const world = new World({ absolute: 500 });
    const tab = await world.loggedIn();
    const seen = expirings(tab, world);
    await world.pass(400);
    assert.equal(seen.length, 1);
    assert.equal(await world.settle(seen[0].expiring.extend()), false);
    assert.equal((await world.settle(tab.user())).email, ALICE.email);
    await world.pass(60);
    assert.equal(seen.length, 1);
    const users = heard(tab);
    await world.pass(60);
    assert.deepEqual(users, [null]);
  });

  test("nor does it come late at the absolute limit because the session is in use", async () => {
    const world = new World({ absolute: 1000, access: 100 });
    const tab = await world.loggedIn();
    const seen = expirings(tab, world);
    for (let i = 0; i < 100; i++) {
      await world.pass(10);
      await world.settle(tab.fetch("/api/x"));
      tab.happen("keydown");
    }
    assert.deepEqual(seen.map(({ at }) => Math.round(at / 20) * 20), [880]);
    assert.ok(world.server.refreshes < 15, `${world.server.refreshes} refreshes`);
  });

  test("extend gives false when the session has ended, and rejects when nobody answers", async () => {
    const world = new World({ idle: 1000 });
    const tab = await world.loggedIn();
    const seen = expirings(tab, world);
    await world.pass(900);
    world.server.plan("/api/auth/refresh", lostBefore, lostBefore, lostBefore);
    await assert.rejects(world.settle(seen[0].expiring.extend()), TypeError);
    for (const session of world.server.sessions.values()) session.ended = true;
    assert.equal(await world.settle(seen[0].expiring.extend()), false);
  });

  test("a session in use goes on before the notice, even one that is shorter than its tokens", async () => {
    const world = new World({ idle: 300 });
    const tab = await world.loggedIn();
    const seen = expirings(tab, world);
    for (let i = 0; i < 60; i++) {
      await world.pass(20);
      tab.happen("keydown");
    }
    assert.equal(seen.length, 0);
    assert.equal((await world.settle(tab.user())).email, ALICE.email);
  });

  test("once there is a notice only a call or extend keeps the session", async () => {
    const world = new World({ idle: 300 });
    const tab = await world.loggedIn();
    const seen = expirings(tab, world);
    await world.pass(200);
    assert.equal(seen.length, 1);
    tab.happen("pointerdown");
    await world.pass(40);
    assert.equal(world.server.refreshes, 0);
    await world.settle(tab.fetch("/api/x"));
    await world.pass(31);
    assert.equal(world.server.refreshes, 1);
  });

  test("who begins to listen late is told", async () => {
    const world = new World({ idle: 1000 });
    const tab = await world.loggedIn();
    await world.pass(950);
    assert.equal(expirings(tab, world).length, 1);
  });
});
