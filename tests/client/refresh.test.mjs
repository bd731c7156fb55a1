import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { busy, lostAfter, lostBefore, never, problem } from "./server.mjs";
import { ALICE, BOB, World, heard } from "./world.mjs";

describe("refreshing", () => {
  test("many at once in one tab are one", async () => {
    const world = new World();
    (await world.loggedIn()).close();
    const tab = world.tab();
    const users = await world.settle(Promise.all([tab.user(), tab.user(), tab.refresh(), tab.token(), tab.user()]));
    assert.equal(users[0].email, ALICE.email);
    assert.equal(world.server.refreshes, 1);
  });

  test("many at once that fail are one, too", async () => {
    const world = new World();
    world.server.plan("/api/auth/refresh", ...Array(9).fill(lostBefore));
    const tab = world.tab();
    const outcomes = await world.settle(Promise.allSettled([tab.user(), tab.refresh(), tab.token()]));
    assert.ok(outcomes.every(({ status }) => status === "rejected"));
    assert.equal(world.server.refreshes, 3);
  });

  test("ten tabs at once are one", async () => {
    for (const channelDelay of [0, 3, 40]) {
      const world = new World();
      world.channelDelay = channelDelay;
      (await world.loggedIn()).close();
      const tabs = Array.from({ length: 10 }, () => world.tab());
      const users = await world.settle(Promise.all(tabs.map((tab) => tab.user())));
      assert.deepEqual(new Set(users.map((user) => user.email)), new Set([ALICE.email]));
      assert.equal(world.server.refreshes, 1, `with messages that take ${channelDelay} ms`);
    }
  });

  test("ten tabs without Web Locks are one", async () => {
    for (let round = 0; round < 10; round++) {
      const world = new World();
      (await world.loggedIn({ env: { locks: false } })).close();
      const tabs = Array.from({ length: 10 }, () => world.tab({ env: { locks: false } }));
      const users = await world.settle(Promise.all(tabs.map((tab) => tab.user())));
      assert.ok(users.every((user) => user.email === ALICE.email));
      assert.equal(world.server.refreshes, 1);
      assert.ok(world.messages < 100, `${world.messages} messages`);
    }
  });

  test("a tab without Web Locks that comes while another refreshes lets it", async () => {
    const world = new World();
    (await world.loggedIn({ env: { locks: false } })).close();
    world.server.latency = 1000;
    const early = world.tab({ env: { locks: false } }).user();
    await world.pass(0.2);
    const late = world.tab({ env: { locks: false, random: () => 0 } }).user();
    assert.equal((await world.settle(early)).email, ALICE.email);
    assert.equal((await world.settle(late)).email, ALICE.email);
    assert.equal(world.server.refreshes, 1);
  });

  test("without Web Locks a tab that announced itself and went away does not block the others for good", async () => {
    const world = new World();
    const gone = await world.loggedIn({ env: { locks: false } });
    world.server.plan("/api/auth/refresh", never);
    gone.refresh().catch(() => {});
    await world.pass(0.2);
    const tab = world.tab({ env: { locks: false } });
    assert.equal((await world.settle(tab.user(), 5)).email, ALICE.email);
  });

  test("a tab takes over when the tab that held the lock failed", async () => {
    const world = new World();
    (await world.loggedIn()).close();
    world.server.plan("/api/auth/refresh", () => problem(500, "internal"));
    const [first, second] = [world.tab().user(), world.tab().user()];
    await assert.rejects(world.settle(first), { code: "internal" });
    assert.equal((await world.settle(second)).email, ALICE.email);
  });

  test("an answer that is lost is asked for again, and the session is whole", async () => {
    const world = new World();
    (await world.loggedIn()).close();
    world.server.plan("/api/auth/refresh", lostAfter, lostBefore);
    const tab = world.tab();
    assert.equal((await world.settle(tab.user())).email, ALICE.email);
    assert.equal(world.server.refreshes, 3);
    assert.equal((await world.settle(tab.refresh())).email, ALICE.email);
  });

  test("an answer that is cut off or another service's is asked for again", async () => {
    const world = new World();
    (await world.loggedIn()).close();
    const html = () => new Response("<!doctype html>", { headers: { "Content-Type": "text/html" } });
    world.server.plan("/api/auth/refresh", () => new Response('{"access_tok'), html);
    assert.equal((await world.settle(world.tab().user())).email, ALICE.email);
    world.server.plan("/api/auth/refresh", html, html, html);
    await assert.rejects(world.settle(world.tab().user()), TypeError);
  });

  test("a request that is never answered is given up and made again", async () => {
    const world = new World();
    (await world.loggedIn()).close();
    world.server.plan("/api/auth/refresh", (request) => new Promise((_, reject) => {
      request.signal.addEventListener("abort", () => reject(request.signal.reason));
    }));
    assert.equal((await world.settle(world.tab().user())).email, ALICE.email);
    assert.equal(world.server.refreshes, 2);
  });

  test("three tries, then it rejects, and the session is not declared over", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const users = heard(tab);
    world.server.plan("/api/auth/refresh", lostBefore, lostBefore, lostBefore);
    await assert.rejects(world.settle(tab.refresh()), TypeError);
    assert.equal(world.server.refreshes, 3);
    assert.deepEqual(users, []);
    assert.equal((await world.settle(tab.user())).email, ALICE.email);
  });

  test("503 is tried again after Retry-After", async () => {
    const world = new World();
    (await world.loggedIn()).close();
    world.server.plan("/api/auth/refresh", busy(7));
    const started = world.mono;
    assert.equal((await world.settle(world.tab().user())).email, ALICE.email);
    assert.ok(world.mono - started >= 7000 && world.mono - started < 8500);
  });

  test("while a tab waits to try again, another may log in", async () => {
    const world = new World();
    (await world.loggedIn()).close();
    world.server.plan("/api/auth/refresh", busy(20));
    const waiting = world.tab().user();
    await world.pass(1);
    const started = world.mono;
    await world.settle(world.tab().logIn(BOB));
    assert.ok(world.mono - started < 1000);
    assert.equal((await world.settle(waiting)).email, BOB.email);
  });

  test("a long Retry-After is told and not waited for", async () => {
    const world = new World();
    (await world.loggedIn()).close();
    world.server.plan("/api/auth/refresh", busy(3600));
    await assert.rejects(world.settle(world.tab().user(), 2), { status: 503, retryAfter: 3600 });
  });

  test("an answer of 401 ends the session in all tabs", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const other = await world.another();
    const users = [heard(tab), heard(other)];
    for (const session of world.server.sessions.values()) session.ended = true;
    assert.equal(await world.settle(tab.refresh()), null);
    await world.pass(1);
    assert.deepEqual(users, [[null], [null]]);
    assert.equal(await world.settle(other.user()), null);
  });

  test("another 401, as of a proxy, does not end it", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    world.server.plan("/api/auth/refresh", () => new Response("no", { status: 401 }));
    await assert.rejects(world.settle(tab.refresh()), { status: 401, code: "unknown" });
    assert.equal((await world.settle(tab.user())).email, ALICE.email);
  });

  test("a cookie that is gone is found out by a new tab and told to those that knew", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const users = heard(tab);
    world.cookie = null;
    assert.equal(await world.settle(world.tab().user()), null);
    await world.pass(1);
    assert.deepEqual(users, [null]);
  });

  test("a cookie that another user's replaced is found out, and the user changes", async () => {
    const world = new World();
    const tab = await world.loggedIn();
    const users = heard(tab);
    world.cookie = world.server.begin({ email: BOB.email, session: "cookie" }, 200).setCookie;
    assert.equal((await world.settle(tab.refresh())).email, BOB.email);
    assert.deepEqual(users, [BOB.email]);
  });
});
