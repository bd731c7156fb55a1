// What the pages weigh, how soon they are painted, and that nothing in them moves by itself.
//
// Needs a fresh service with open registration and the task list, built as it is released.
// FIGURES  a file to write the table to, as well
// DOORWARD_URL, DOORWARD_MAIL, CHROMIUM, CHECK: see harness.mjs.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import {
  account, api, at, check, fill, form, giveSession, on, run, someone, submitOf, until,
} from "./harness.mjs";
import { views, world } from "./views.mjs";

const MOST_BYTES = 40 * 1024;
// A page has to be there as soon as this, or this many times as late as one without style, script or database: what a slow
// machine is given, it is given for both.
const LATEST_PAINT = 300;
const MOST_TIMES = 3;
const ROUNDS = 7;
// Those that are opened by their address alone, which is what a load is.
const LOADED = [
  "login", "register", "forgot-password", "resend", "verify-email", "reset-password", "not-found", "logout", "account", "tasks", "task",
];

// What else the machine does only ever adds.
const best = (numbers) => Math.min(...numbers);
const table = [];

/** Loads a view in a browser that has seen nothing yet. */
async function load(stage, view, given) {
  const context = await stage.context({ motion: true });
  if (view.inside) await giveSession(context, given.user);
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  await session.send("Network.enable");
  let bytes = 0;
  let requests = 0;
  session.on("Network.loadingFinished", ({ encodedDataLength }) => {
    bytes += encodedDataLength;
    requests += 1;
  });
  // A redirect's answer is no end of loading, and weighs as well.
  session.on("Network.requestWillBeSent", ({ redirectResponse }) => (bytes += redirectResponse?.encodedDataLength ?? 0));
  await view.open(page, given);
  if (view.page) await on(page, view.page);
  await page.waitForLoadState("networkidle");
  const seen = await page.evaluate(() => new Promise((resolve) => {
    const shifts = [];
    const note = (list) => shifts.push(...list.getEntries().map(({ value, sources }) =>
      ({ value, nodes: sources.map(({ node }) => node?.outerHTML?.slice(0, 80) ?? "?") })));
    const observer = new PerformanceObserver(note);
    observer.observe({ type: "layout-shift", buffered: true });
    // What is buffered is handed over in a task of its own.
    requestAnimationFrame(() => setTimeout(() => {
      note({ getEntries: () => observer.takeRecords() });
      const paint = (name) => performance.getEntriesByName(name)[0]?.startTime;
      resolve({ first: paint("first-paint"), content: paint("first-contentful-paint"), shifts });
    }));
  }));
  await context.close();
  return { bytes, requests, ...seen };
}

check("every page is light, early and still", async (stage) => {
  const given = await world();
  for (let n = 0; n < 60; n++) {
    await api("POST", "/api/users/me/tasks", { token: given.user.token, json: { title: `Task ${n} of a long list` } });
  }
  // The first page that a browser process ever shows pays for its start.
  await load(stage, views[0], given);
  const plain = [];
  const bare = { open: (page) => page.goto(at("/healthz")) };
  for (let n = 0; n < ROUNDS; n++) plain.push((await load(stage, bare, given)).first);
  const latest = Math.max(LATEST_PAINT, MOST_TIMES * best(plain));
  for (const name of LOADED) {
    const view = views.find((view) => view.name === name);
    const loads = [];
    for (let n = 0; n < ROUNDS; n++) loads.push(await load(stage, view, given));
    const bytes = Math.max(...loads.map(({ bytes }) => bytes));
    const first = best(loads.map(({ first }) => first));
    const content = best(loads.map(({ content }) => content));
    // None is left out: what moves in one load out of many is seen by somebody.
    const shifts = loads.flatMap(({ shifts }) => shifts);
    const shift = shifts.reduce((sum, { value }) => sum + value, 0);
    table.push({ name, requests: loads[0].requests, KiB: (bytes / 1024).toFixed(1), first, content, shift });
    if (!(bytes > 0 && bytes < MOST_BYTES)) stage.fault(`${name} weighs ${(bytes / 1024).toFixed(1)} KiB`);
    if (!(first < latest)) stage.fault(`${name} is first painted after ${first} ms`);
    if (!(content < latest)) stage.fault(`${name} first shows content after ${content} ms`);
    if (shift !== 0) stage.fault(`${name} moves by ${shift}: ${JSON.stringify(shifts.slice(0, 3))}`);
  }
  const ms = (number) => (number === undefined ? "none" : `${number.toFixed(0)} ms`);
  const lines = [
    "| page | requests | transfer | first paint | first content | layout shift |",
    "|---|--:|--:|--:|--:|--:|",
    ...table.map(({ name, requests, KiB, first, content, shift }) =>
      `| ${name} | ${requests} | ${KiB} KiB | ${ms(first)} | ${ms(content)} | ${shift} |`),
  ];
  console.log(`a page without anything is painted after ${ms(best(plain))}; these, at best of ${ROUNDS}:`);
  console.log(lines.join("\n"));
  if (process.env.FIGURES) writeFileSync(process.env.FIGURES, `${lines.join("\n")}\n`);
}, { seconds: 300 });

check("what is being sent moves nothing", async (stage) => {
  const page = await stage.open();
  await page.goto(at("/login"));
  let release;
  const held = new Promise((resolve) => (release = resolve));
  let isSent = false;
  await page.route(at("/login"), async (route) => {
    isSent = true;
    await held;
    await route.continue();
  });
  await fill(page, "login", { email: someone("nobody"), password: "a wrong password" });
  const boxes = () => page.evaluate(() => [...document.querySelectorAll("header, main, main *")].map((element) => {
    const { x, y, width, height } = element.getBoundingClientRect();
    return [element.localName, x, y, width, height].join();
  }));
  const button = submitOf(form(page, "login"));
  await button.focus();
  const before = await boxes();
  await page.keyboard.press("Enter");
  await until("it is on its way", () => isSent);
  await page.locator('form[data-form="login"][aria-busy="true"]').waitFor();
  assert.deepEqual(await boxes(), before);
  release();
  await page.locator('[role="alert"]').first().waitFor();
});

check("a page that was seen before is loaded from the cache but for itself", async (stage) => {
  const context = await stage.context();
  await giveSession(context, await account());
  const page = await context.newPage();
  await page.goto(at("/account"));
  await page.waitForLoadState("networkidle");
  const asked = [];
  const session = await context.newCDPSession(page);
  await session.send("Network.enable");
  const kept = new Set();
  session.on("Network.requestServedFromCache", ({ requestId }) => kept.add(requestId));
  session.on("Network.responseReceived", ({ requestId, response }) => {
    const isAsked = !kept.has(requestId) && !response.fromDiskCache && !response.fromPrefetchCache;
    if (isAsked && response.url.includes("/assets/")) asked.push(response.url);
  });
  await page.goto(at("/tasks"));
  await page.goto(at("/account"));
  await page.waitForLoadState("networkidle");
  const again = asked.filter((url) => !/tasks\.(js|css)/.test(url));
  assert.deepEqual(again, [], "assets were asked for again");
});

await run();
