import assert from "node:assert/strict";

import { createClient } from "../../crates/http/assets/client/doorward.js";
import { Server } from "./server.mjs";

export const ORIGIN = "https://app.example";
export const ALICE = { email: "alice@example.com", password: "correct horse battery staple" };
export const BOB = { email: "bob@example.com", password: "another long password" };

/** Lets promises settle, those of streams too, while no time passes. */
async function breathe() {
  for (let i = 0; i < 4; i++) await new Promise(setImmediate);
}

/** A machine with its clocks, a browser's tabs and a server, where time passes only when a test says so. */
export class World {
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

export function heard(client) {
  const users = [];
  client.onChange((user) => users.push(user && user.email));
  return users;
}
