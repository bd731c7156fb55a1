import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { attachNotice } from "../../crates/http/assets/client/notice.js";
import { lostBefore } from "./server.mjs";
import { ALICE, World } from "./world.mjs";

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
