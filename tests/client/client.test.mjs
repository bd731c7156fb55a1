import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, test } from "node:test";
import { promisify } from "node:util";

import { createClient, DoorwardError } from "./doorward.js";
import { attachNotice } from "./notice.js";

const ORIGIN = "https://app.example";
const ALICE = { email: "alice@example.com", password: "correct horse battery staple" };
const BOB = { email: "bob@example.com", password: "another long password" };

/** Lets promises settle, those of streams too, while no time passes. */
async function breathe() {
  for (let i = 0; i < 4; i++) await new Promise(setImmediate);
}

/** A machine with its clocks, a browser's tabs and a server, where time passes only when a test says so. */
class World {
  wall = Date.parse("2026-11-22T02:00:00Z");
  mono = 1000;
  timers = new Map();
  nextTimer = 1;
  channels = new Set();
  held = false;
  waiting = [];
  cookie = null;
  channelDelay = 3;
  messages = 0;

  constructor(options) {
    this.server = new Server(this, options);
  }

  setTimeout = (run, ms = 0) => {
    const id = this.nextTimer++;
    this.timers.set(id, { at: this.mono + ms, run });
    return id;
  };

  clearTimeout = (id) => void this.timers.delete(id);

  sleepUntil(ms) {
    return new Promise((resolve) => this.setTimeout(resolve, ms));
  }

  /** Lets seconds pass. */
  async pass(seconds) {
    const until = this.mono + seconds * 1000;
    for (;;) {
      await breathe();
      const due = [...this.timers].filter(([, { at }]) => at <= until).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      const [id, { at, run }] = due;
      this.timers.delete(id);
      this.advance(Math.max(0, at - this.mono));
      run();
    }
    this.advance(until - this.mono);
    await breathe();
  }

  advance(ms) {
    this.mono += ms;
    this.wall += ms;
  }

  /** Lets time pass until a promise has settled, and gives its value. */
  async settle(promise, atMost = 300) {
    let settled = false;
    const outcome = promise.then(
      (value) => ((settled = true), { value }),
      (error) => ((settled = true), { error }),
    );
    const until = this.mono + atMost * 1000;
    for (;;) {
      await breathe();
      const next = Math.min(...[...this.timers.values()].map(({ at }) => at));
      if (settled || next > until) break;
      await this.pass(Math.max(0, next - this.mono) / 1000);
    }
    assert.ok(settled, "it never settled");
    const { value, error } = await outcome;
    if (error) throw error;
    return value;
  }

  /** What a page in a tab finds around it. */
  env({ locks = true, random = Math.random, ...more } = {}) {
    const world = this;
    const events = new EventTarget();
    const document = { visibilityState: "visible" };
    return {
      events,
      document,
      location: { href: `${ORIGIN}/page?x=1#y` },
      navigator: locks ? { locks: { request: (...call) => world.request(...call) } } : {},
      performance: { now: () => world.mono },
      Date: class extends Date {
        static now() {
          return world.wall;
        }
      },
      Math: Object.create(Math, { random: { value: random } }),
      setTimeout: this.setTimeout,
      clearTimeout: this.clearTimeout,
      addEventListener: (...call) => events.addEventListener(...call),
      BroadcastChannel: class {
        constructor(name) {
          this.name = name;
          world.channels.add(this);
        }
        postMessage(message) {
          assert.ok(world.channels.has(this), "posted on a closed channel");
          const data = structuredClone(message);
          world.messages++;
          for (const other of world.channels) {
            if (other === this || other.name !== this.name) continue;
            world.setTimeout(() => world.channels.has(other) && other.onmessage?.({ data }), world.channelDelay);
          }
        }
        close() {
          world.channels.delete(this);
        }
      },
      ...more,
    };
  }

  /** Web Locks, of which there is one here. */
  async request(name, options, work) {
    if (!work) [options, work] = [{}, options];
    if (options.ifAvailable && this.held) return work(null);
    if (this.held) await new Promise((resolve) => this.waiting.push(resolve));
    this.held = true;
    try {
      return await work({ name });
    } finally {
      if (this.waiting.length) this.setTimeout(this.waiting.shift());
      else this.held = false;
    }
  }

  /** A client in a tab of its own. */
  tab({ env, ...options } = {}) {
    const around = this.env(env);
    const client = createClient({ fetch: this.server.fetch, ...options }, around);
    return Object.assign(client, {
      around,
      happen(type, fields) {
        around.events.dispatchEvent(Object.assign(new Event(type), fields));
      },
    });
  }

  /** A tab in which Alice has just logged in. */
  async loggedIn(options) {
    const tab = this.tab(options);
    await this.settle(tab.logIn(ALICE));
    return tab;
  }

  /** Another tab, which has restored the session. */
  async another(options) {
    const tab = this.tab(options);
    await this.settle(tab.user());
    // What it has told the others has arrived.
    await this.pass(0.1);
    return tab;
  }
}

/** As much of Doorward as a client can see. */
class Server {
  requests = [];
  sessions = new Map();
  issued = 0;
  latency = 20;
  /** Path to what answers its next requests, one after the other, instead. */
  plans = new Map();
  now = 1_000_000;

  constructor(world, { access = 600, idle = 10_000, absolute = 50_000, registration = "open" } = {}) {
    Object.assign(this, { world, access, idle, absolute, registration });
  }

  get refreshes() {
    return this.count("/api/auth/refresh");
  }

  count(path) {
    return this.requests.filter((request) => new URL(request.url).pathname === path).length;
  }

  plan(path, ...answers) {
    this.plans.set(path, answers);
  }

  fetch = async (input, init) => {
    const request = new Request(input, init);
    const { signal } = request;
    const aborted = new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      if (signal.aborted) reject(signal.reason);
    });
    aborted.catch(() => {});
    // Together with the body, before anything is awaited.
    const text = request.body ? await request.clone().text() : "";
    this.requests.push(request);
    request.sent = text;
    await Promise.race([this.world.sleepUntil(this.latency / 2), aborted]);
    const plan = this.plans.get(new URL(request.url).pathname)?.shift();
    const answer = await (plan ? plan(request, () => this.answer(request, text)) : this.answer(request, text));
    await Promise.race([this.world.sleepUntil(this.latency / 2), aborted]);
    if ("setCookie" in answer && request.credentials === "include") this.world.cookie = answer.setCookie;
    return answer;
  };

  answer(request, text) {
    const path = new URL(request.url).pathname.replace("/prefix", "");
    const body = text && path.startsWith("/api/auth/") ? JSON.parse(text) : {};
    const bearer = request.headers.get("Authorization")?.replace("Bearer ", "");
    const cookie = request.credentials === "include" ? this.world.cookie : null;
    switch (path) {
      case "/api/auth/register":
        if (this.registration === "verified") return Response.json({ status: "verification_sent" }, { status: 202 });
        return this.begin(body, 201);
      case "/api/auth/login":
        if (body.password.startsWith("wrong")) return problem(401, "invalid_credentials");
        return this.begin(body, 200);
      case "/api/auth/refresh":
        return this.rotate(body.refresh_token ?? cookie, body.refresh_token ? "token" : "cookie");
      case "/api/auth/logout": {
        if (!bearer && !body.refresh_token && !cookie) return problem(401, "unauthenticated");
        for (const token of [bearer, body.refresh_token, cookie]) {
          const session = this.sessions.get(token?.split(".")[1]);
          if (session) session.ended = true;
        }
        return Object.assign(new Response(null, { status: 204 }), { setCookie: null });
      }
      default: {
        const [kind, id, expires] = bearer?.split(".") ?? [];
        const session = this.sessions.get(id);
        if (kind !== "access" || !session || session.ended || Number(expires) <= this.time()) {
          return problem(401, "unauthenticated");
        }
        return Response.json({ who: session.user.email, text });
      }
    }
  }

  /** The server's clock, which has nothing to do with the client's; sleep does not stop it. */
  time() {
    return this.now + this.world.mono / 1000 + (this.world.slept ?? 0);
  }

  begin({ email, name = null, session: mode }, status) {
    const id = `0194-${String(this.sessions.size + 1).padStart(4, "0")}`;
    const user = { id: `user-${email}`, email, email_verified: true, name, roles: [], created_at: "", updated_at: "" };
    const ends = this.time() + this.absolute;
    this.sessions.set(id, { id, user, step: 1, ends, idleEnds: Math.min(ends, this.time() + this.idle) });
    return this.grant(this.sessions.get(id), 1, mode, status);
  }

  rotate(token, mode) {
    if (!token) return problem(422, "validation_failed", { errors: [{ field: "refresh_token", code: "required", detail: "" }] });
    const [, id, step] = token.split(".");
    const session = this.sessions.get(id);
    if (!session || session.ended || session.idleEnds <= this.time()) return problem(401, "invalid_refresh_token");
    if (Number(step) < session.step - 1) {
      session.ended = true;
      return problem(401, "invalid_refresh_token");
    }
    session.step = Number(step) + 1;
    session.idleEnds = Math.min(session.ends, this.time() + this.idle);
    return this.grant(session, session.step, mode, 200);
  }

  grant(session, step, mode, status) {
    const refresh_token = `refresh.${session.id}.${step}`;
    const grant = {
      access_token: `access.${session.id}.${this.time() + this.access}.${++this.issued}`,
      token_type: "Bearer",
      expires_in: this.access,
      refresh_expires_in: Math.floor(session.idleEnds - this.time()),
      session_id: session.id,
      user: session.user,
    };
    if (mode === "cookie") return Object.assign(Response.json(grant, { status }), { setCookie: refresh_token });
    return Response.json({ ...grant, refresh_token }, { status });
  }
}

function problem(status, code, more, headers) {
  const body = { type: `urn:doorward:problem:${code}`, title: code, status, detail: `About ${code}`, code, request_id: "r-1", ...more };
  return new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/problem+json", ...headers } });
}

const lostBefore = () => Promise.reject(new TypeError("fetch failed"));
const lostAfter = (_, answer) => (answer(), Promise.reject(new TypeError("fetch failed")));
const busy = (seconds) => () => problem(503, "overloaded", {}, { "Retry-After": String(seconds) });
const never = () => new Promise(() => {});
const expire = (world) => (world.server.now += world.server.access);

function heard(client) {
  const users = [];
  client.onChange((user) => users.push(user && user.email));
  return users;
}

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

describe("DoorwardError", () => {
  test("it says all that the problem says", async () => {
    const errors = [{ field: "password", code: "too_short", detail: "At least 8 characters" }];
    const error = await DoorwardError.from(problem(422, "validation_failed", { errors }, { "Retry-After": "3" }));
    assert.ok(error instanceof Error);
    assert.deepEqual(
      { ...error },
      { name: "DoorwardError", status: 422, code: "validation_failed", detail: "About validation_failed", requestId: "r-1", errors, retryAfter: 3 },
    );
    assert.equal(error.message, "About validation_failed");
  });

  test("it makes do with whatever else is answered", async () => {
    for (const body of ["<h1>Bad gateway</h1>", "", "null", '"text"', "7", "[1]", '{"errors":"x"}']) {
      const error = await DoorwardError.from(new Response(body, { status: 502, headers: { "X-Request-Id": "r-2", "Retry-After": "Thu, 01 Jan 2026 00:00:00 GMT" } }));
      assert.equal(error.message, "HTTP status 502");
      assert.deepEqual([error.code, error.detail, error.requestId, error.errors, error.retryAfter], ["unknown", "", "r-2", [], undefined]);
    }
  });
});

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
      cwd: import.meta.dirname ?? new URL(".", import.meta.url).pathname,
      timeout: 5000,
    });
    assert.equal(stdout, "u a\nu a\n");
  });
});

/** As much of a document as the notice needs. */
class FakeElement extends EventTarget {
  attributes = new Map();
  children = [];
  parent = null;
  className = "";
  text = "";

  constructor(tag, document) {
    super();
    this.tag = tag;
    this.ownerDocument = document;
  }
  setAttribute(name, value) {
    this.attributes.set(name, value);
  }
  getAttribute(name) {
    return this.attributes.get(name) ?? null;
  }
  removeAttribute(name) {
    this.attributes.delete(name);
  }
  append(...children) {
    for (const child of children) {
      child.remove();
      child.parent = this;
      this.children.push(child);
    }
  }
  remove() {
    if (!this.parent) return;
    if (this.contains(this.ownerDocument.activeElement)) this.ownerDocument.activeElement = null;
    this.parent.children = this.parent.children.filter((child) => child !== this);
    this.parent = null;
  }
  replaceWith(other) {
    const { parent } = this;
    this.remove();
    parent.append(other);
  }
  contains(other) {
    return !!other && (other === this || this.contains(other.parent));
  }
  get isConnected() {
    return this.ownerDocument.body.contains(this);
  }
  focus() {
    const { ownerDocument } = this;
    const relatedTarget = ownerDocument.activeElement;
    ownerDocument.activeElement = this;
    for (let at = this; at; at = at.parent) at.dispatchEvent(Object.assign(new Event("focusin"), { relatedTarget }));
  }
  set textContent(text) {
    this.text = text;
    this.writes = (this.writes ?? 0) + 1;
  }
  get textContent() {
    return this.text + this.children.map((child) => child.textContent).join(" ");
  }
  find(name) {
    return this.className === name ? this : this.children.map((child) => child.find(name)).find(Boolean);
  }
}

/** A page with a notice for the client of a tab. */
async function withNotice(run, { world = new World({ idle: 1000 }), ...options } = {}) {
  const document = { activeElement: null, documentElement: { lang: "en" }, createElement: (tag) => new FakeElement(tag, document) };
  document.body = document.createElement("body");
  const originals = [globalThis.document, globalThis.setTimeout, globalThis.clearTimeout];
  const tab = await world.loggedIn();
  [globalThis.document, globalThis.setTimeout, globalThis.clearTimeout] = [document, world.setTimeout, world.clearTimeout];
  try {
    const detach = attachNotice(tab, options);
    const part = (name) => document.body.find(`doorward-notice${name ? `-${name}` : ""}`);
    const click = async (name) => {
      part(name).dispatchEvent(new Event("click"));
      await world.pass(0.5);
    };
    await run({ world, tab, document, part, click, detach });
  } finally {
    [globalThis.document, globalThis.setTimeout, globalThis.clearTimeout] = originals;
  }
}

describe("the notice", () => {
  test("it appears ahead of the end, named and described, without taking the focus", () =>
    withNotice(async ({ world, document, part }) => {
      const typing = document.createElement("input");
      document.body.append(typing);
      typing.focus();
      await world.pass(870);
      assert.equal(part(), undefined);
      await world.pass(11);
      assert.equal(part().getAttribute("role"), "alertdialog");
      assert.equal(part().getAttribute("aria-modal"), "false");
      assert.equal(part().getAttribute("aria-labelledby"), part("title").id);
      assert.equal(part().getAttribute("aria-describedby"), part("text").id);
      assert.equal(part("text").getAttribute("aria-live"), "polite");
      assert.equal(document.activeElement, typing);
      assert.ok([part("stay"), part("logout")].every((button) => button.type === "button"));
      assert.equal(part().getAttribute("style"), null);
    }));

  test("it counts down for the eye, and is read out once and at the last 30 seconds", () =>
    withNotice(async ({ world, part }) => {
      await world.pass(885);
      assert.equal(part("text").textContent, "You will be logged out in less than 2 minutes.");
      const clock = part("time").textContent;
      await world.pass(60);
      assert.notEqual(part("time").textContent, clock);
      assert.match(part("time").textContent, /^0:5\d$/);
      assert.equal(part("text").writes, 2, "empty, then the words");
      await world.pass(30);
      assert.equal(part("text").textContent, "You will be logged out in less than 30 seconds.");
      await world.pass(15);
      assert.equal(part("text").writes, 3);
    }));

  test("staying extends, takes it away and gives the focus back", () =>
    withNotice(async ({ world, document, part, click }) => {
      const typing = document.createElement("input");
      document.body.append(typing);
      await world.pass(900);
      typing.focus();
      part("stay").focus();
      await click("stay");
      assert.equal(part(), undefined);
      assert.equal(document.activeElement, typing);
      assert.equal(world.server.refreshes, 1);
      await world.pass(890);
      assert.ok(part(), "it comes again");
    }));

  test("two clicks are one", () =>
    withNotice(async ({ world, part, click }) => {
      await world.pass(900);
      const stay = part("stay");
      stay.dispatchEvent(new Event("click"));
      stay.dispatchEvent(new Event("click"));
      await world.pass(1);
      assert.equal(world.server.refreshes, 1);
      assert.equal(part(), undefined);
    }));

  test("it goes when another tab extends", () =>
    withNotice(async ({ world, part }) => {
      const other = await world.another();
      await world.pass(900);
      assert.ok(part());
      await world.settle(other.refresh());
      await world.pass(2);
      assert.equal(part(), undefined);
    }));

  test("where the end cannot be put off it says that one has to log in again", () =>
    withNotice(
      async ({ world, document, part, click }) => {
        await world.pass(400);
        part("stay").focus();
        await click("stay");
        assert.equal(part("text").textContent, "Your session cannot be extended any more. Please log in again.");
        assert.equal(part("stay"), undefined);
        assert.ok(part("logout"));
        assert.equal(document.activeElement, part());
        await world.pass(200);
        assert.equal(part("text").textContent, "Your session has ended. Please log in again.");
        await click("close");
        assert.equal(part(), undefined);
      },
      { world: new World({ absolute: 500 }) },
    ));

  test("staying in a session that has ended says so, and a log-in takes it away", () =>
    withNotice(async ({ world, tab, part, click }) => {
      await world.pass(900);
      for (const session of world.server.sessions.values()) session.ended = true;
      await click("stay");
      assert.equal(part("text").textContent, "Your session has ended. Please log in again.");
      await world.settle(tab.logIn(ALICE));
      assert.equal(part(), undefined);
    }));

  test("when nobody answers it says so and can be tried again", () =>
    withNotice(async ({ world, part, click }) => {
      await world.pass(900);
      world.server.plan("/api/auth/refresh", lostBefore, lostBefore, lostBefore);
      await click("stay");
      assert.equal(part().getAttribute("aria-busy"), "true");
      await world.pass(5);
      assert.equal(part().getAttribute("aria-busy"), null);
      assert.match(part("text").textContent, /did not work/);
      await click("stay");
      assert.equal(part(), undefined);
    }));

  test("logging out takes it away, and says when it failed", () =>
    withNotice(async ({ world, tab, part, click }) => {
      await world.pass(900);
      world.server.plan("/api/auth/logout", lostBefore);
      await click("logout");
      assert.match(part("text").textContent, /did not work/);
      await click("logout");
      assert.equal(part(), undefined);
      assert.equal(await world.settle(tab.user()), null);
    }));

  test("it outlives a page that replaces its body's content, and not its own end", () =>
    withNotice(async ({ world, document, part, detach }) => {
      await world.pass(900);
      for (const child of [...document.body.children]) child.remove();
      await world.pass(2);
      assert.ok(part());
      detach();
      assert.equal(part(), undefined);
      await world.pass(50);
      assert.equal(part(), undefined);
    }));

  test("texts and place are the application's to say", async () => {
    const texts = { title: "Noch da?", text: "Abmeldung in weniger als {time}." };
    await withNotice(
      async ({ world, document, part }) => {
        document.documentElement.lang = "de";
        await world.pass(900);
        assert.equal(part("title").textContent, "Noch da?");
        assert.equal(part("text").textContent, "Abmeldung in weniger als 2 Minuten.");
        assert.equal(part("stay").textContent, "Stay logged in");
      },
      { texts },
    );
  });
});
