// What the browser tests share: a browser that reports every fault, the verbs of a user, the mail, and the runner.
//
// DOORWARD_URL   where the service answers, with its path prefix if it has one
// DOORWARD_MAIL  the folder in which each mail appears as one .eml file
// CHROMIUM       the browser, /usr/bin/chromium unless given
// CHECK          runs only the checks whose name contains this

import assert from "node:assert/strict";
import { readFileSync, readdirSync, statSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { chromium } from "playwright-core";

/** The service's address without a slash at its end. */
export const root = required("DOORWARD_URL").replace(/\/+$/, "");
export const origin = new URL(root).origin;
export const PASSWORD = "a quiet harbour at dusk";
const LIMIT = 10_000;

/** The value of an environment variable that a file cannot do without. */
export function required(name) {
  const value = process.env[name];
  if (!value) {
    console.error(`${name} is not set; what it is stands at the top of the file`);
    process.exit(2);
  }
  return value;
}

/** The URL of one of the service's paths. */
export const at = (path) => root + path;

/** The path of a URL of the service, less its prefix; with the query and the fragment. */
export function pathOf(url) {
  const { pathname, search, hash } = new URL(url);
  const prefix = new URL(root).pathname.replace(/\/$/, "");
  assert.ok(pathname.startsWith(prefix), `${url} is outside the service`);
  return pathname.slice(prefix.length) + search + hash;
}

let people = 0;
/** An address that nobody has had before, not even in another file's run. */
export const someone = (name = "user") => `${name}.${Date.now().toString(36)}.${process.pid}.${++people}@example.com`;

/** Waits until a condition holds, and gives its value. */
export async function until(what, condition, limit = LIMIT) {
  const end = performance.now() + limit;
  for (;;) {
    let cause;
    try {
      const value = await condition();
      if (value) return value;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > end) throw new Error(`not within ${limit} ms: ${what}`, { cause });
    await pause(20);
  }
}

// ---- The runner ----

const checks = [];

/** Names something that has to hold. `act` is given a stage to open pages on. */
export function check(name, act, { seconds = 60 } = {}) {
  checks.push({ name, act, seconds });
}

/** Runs all checks one after the other, reports each, and ends the process. */
export async function run() {
  const only = process.env.CHECK ?? "";
  const chosen = checks.filter(({ name }) => name.includes(only));
  const failed = [];
  for (const { name, act, seconds } of chosen) {
    const stage = new Stage();
    const started = performance.now();
    const errors = [];
    try {
      await within(seconds, act(stage));
    } catch (error) {
      errors.push(error, ...(await stage.views()));
    }
    errors.push(...(await stage.clear()));
    const time = `${((performance.now() - started) / 1000).toFixed(1)} s`;
    console.log(`${errors.length ? "FAIL" : "ok  "} ${name} (${time})`);
    for (const error of errors) console.log(indented(described(error)));
    if (errors.length) failed.push(name);
  }
  for (const browser of browsers.values()) await (await browser).close();
  console.log(failed.length ? `\n${failed.length} of ${chosen.length} failed:` : `\nall ${chosen.length} hold`);
  for (const name of failed) console.log(`  ${name}`);
  process.exit(failed.length || !chosen.length ? 1 : 0);
}

async function within(seconds, promise) {
  const controller = new AbortController();
  const limit = pause(seconds * 1000, undefined, { signal: controller.signal }).then(() => {
    throw new Error(`not done within ${seconds} s`);
  });
  limit.catch(() => {});
  try {
    return await Promise.race([promise, limit]);
  } finally {
    controller.abort();
  }
}

function described(error) {
  if (typeof error === "string") return error;
  const cause = error.cause ? `\nbecause: ${error.cause.message ?? error.cause}` : "";
  const place = (error.stack ?? "").split("\n").find((line) => line.includes(".mjs") && !line.includes("harness.mjs"));
  return `${error.message}${cause}${place ? `\n${place.trim()}` : ""}`;
}

const indented = (text) => text.split("\n").map((line) => `       ${line}`).join("\n");

// ---- The browser ----

const browsers = new Map();

function browser(bfcache) {
  if (!browsers.has(bfcache)) {
    browsers.set(bfcache, chromium.launch({
      executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
      args: ["--no-sandbox"],
      ignoreDefaultArgs: bfcache ? ["--disable-back-forward-cache"] : [],
    }));
  }
  return browsers.get(bfcache);
}

const scripted = new WeakMap();

/** Whether scripts run in a page. */
export const hasScript = (page) => scripted.get(page.context());

class Stage {
  #contexts = [];
  #faults = [];
  #pending = [];

  /**
   * A page in a context of its own.
   *
   * `hosts` are other origins that it may ask; `lossy` says that its requests are made to fail; `watched: false` is for
   * pages that are not the service's.
   */
  async open(options = {}) {
    return (await this.context(options)).newPage();
  }

  async context(options = {}) {
    const { js = true, scheme = "light", width = 1280, height = 800, scale = 1, locale = "en-GB" } = options;
    const context = await (await browser(Boolean(options.bfcache))).newContext({
      javaScriptEnabled: js,
      colorScheme: scheme,
      viewport: { width, height },
      deviceScaleFactor: scale,
      locale,
      reducedMotion: options.motion ? "no-preference" : "reduce",
      ...(options.userAgent && { userAgent: options.userAgent }),
    });
    context.setDefaultTimeout(LIMIT);
    scripted.set(context, js);
    this.#contexts.push(context);
    if (options.watched !== false) this.#watch(context, options);
    return context;
  }

  /** A fault that a check found by itself. */
  fault(text) {
    this.#faults.push(text);
  }

  #watch(context, { hosts = [], lossy = false }) {
    const fault = (text) => this.#faults.push(text);
    const own = (url) => new URL(url).origin === origin;
    context.on("weberror", (error) => fault(`uncaught: ${error.error().stack ?? error.error()}`));
    context.on("console", (message) => {
      const text = message.text();
      // What the service answers is judged where it is asked for; the browser's own note on it tells nothing more.
      const isNote = text.startsWith("Failed to load resource");
      if (text.includes("Content Security Policy")) fault(`CSP: ${text}`);
      else if (message.type() === "error" && !isNote) fault(`console: ${text}`);
    });
    context.on("request", (request) => {
      const url = request.url();
      if (/^(https?|wss?):/.test(url) && !own(url) && !hosts.includes(new URL(url).origin)) {
        fault(`a request to another host: ${url}`);
      }
    });
    context.on("requestfailed", (request) => {
      const reason = request.failure()?.errorText;
      // A page that is left takes what it was still waiting for with it.
      if (!lossy && reason !== "net::ERR_ABORTED") fault(`${request.method()} ${request.url()} failed: ${reason}`);
    });
    context.on("response", (response) => {
      const asked = response.request();
      const what = `${asked.method()} ${response.url()} was answered with ${response.status()}`;
      const isPart = ["script", "stylesheet", "image", "font"].includes(asked.resourceType());
      if (!own(response.url())) return;
      if ((response.status() >= 500 && !lossy) || (response.status() >= 400 && isPart)) fault(what);
      this.#pending.push(judgePage(response, fault).catch(() => {}));
    });
  }

  /** Where the pages stand, for the report of a failure. */
  async views() {
    const pages = this.#contexts.flatMap((context) => context.pages());
    return Promise.all(pages.map(async (page) => {
      const text = await within(2, page.locator("body").innerText()).catch(() => "(cannot be read)");
      return `at ${page.url()}: ${text.replace(/\s+/g, " ").slice(0, 400)}`;
    }));
  }

  async clear() {
    await within(5, Promise.all(this.#pending)).catch(() => {});
    for (const context of this.#contexts) await within(10, context.close()).catch(() => {});
    return [...new Set(this.#faults)];
  }
}

const TOKEN = /dwr_[\w-]{16}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/;

/** What holds for every page that the service gives. */
async function judgePage(response, fault) {
  const headers = await response.allHeaders();
  if (!headers["content-type"]?.startsWith("text/html") || response.status() === 304) return;
  const policy = headers["content-security-policy"] ?? "";
  if (!policy.includes("default-src 'none'")) fault(`${response.url()} has no policy: ${policy}`);
  if (/unsafe-|\*|data:|https?:/.test(policy)) fault(`the policy of ${response.url()} is too wide: ${policy}`);
  if (TOKEN.test(response.url())) fault(`a token in the URL ${response.url()}`);
  if (TOKEN.test(await response.text())) fault(`a token in the HTML of ${response.url()}`);
}

// ---- Requests as no browser would make them ----

/**
 * One request, exactly as given: no header is added but Host and those of the body. `form` and `json` give the body.
 */
export function raw(method, path, { headers = {}, form, json, body } = {}) {
  const url = new URL(path.startsWith("http") ? path : at(path));
  const given = form ? new URLSearchParams(form).toString() : json !== undefined ? JSON.stringify(json) : body;
  const type = form ? "application/x-www-form-urlencoded" : json !== undefined ? "application/json" : undefined;
  const all = { ...(type && { "content-type": type }), ...headers };
  if (given !== undefined) all["content-length"] = Buffer.byteLength(given);
  const { request } = url.protocol === "https:" ? https : http;
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers: all }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        const { statusCode: status, headers } = response;
        resolve({ status, headers, text, json: () => JSON.parse(text) });
      });
    });
    sent.on("error", reject);
    sent.end(given);
  });
}

/** A call of the API that has to succeed. */
export async function api(method, path, { token, ...rest } = {}) {
  const headers = { ...(token && { authorization: `Bearer ${token}` }), ...rest.headers };
  const answer = await raw(method, path, { ...rest, headers });
  assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${answer.text}`);
  return answer.text ? answer.json() : null;
}

/** A new account by way of the API, with an access token. */
export async function account({ email = someone(), name = "Ada Lovelace", password = PASSWORD } = {}) {
  const grant = await api("POST", "/api/auth/register", { json: { email, password, name } });
  return { email, name, password, id: grant.user.id, token: grant.access_token };
}

/** A session of an account in the cookie of a context, by way of the API. */
export async function giveSession(context, { email, password }) {
  const cookie = await sessionCookie({ email, password });
  await context.addCookies([{ ...cookie, url: origin, httpOnly: true, sameSite: "Lax" }]);
}

export async function sessionCookie({ email, password }) {
  const answer = await raw("POST", "/api/auth/login", {
    json: { email, password, session: "cookie" },
    headers: { origin },
  });
  assert.equal(answer.status, 200, answer.text);
  const [pair] = answer.headers["set-cookie"][0].split(";");
  const [name, value] = [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)];
  return { name, value };
}

// ---- What a user does ----

export const form = (page, name) => page.locator(`form[data-form="${name}"]`).first();

/** Fills a form's fields by their names. */
export async function fill(page, name, fields) {
  for (const [field, value] of Object.entries(fields)) {
    await form(page, name).locator(`[name="${field}"]`).fill(value);
  }
}

export const submitOf = (within) => within.locator('button:not([type="button"]):not([type="reset"])').first();

/**
 * Fills a form, sends it, and waits for the answer's page; `to` is the page's name where that is known. With scripts, the
 * document has to be the one that it was.
 */
export async function send(page, name, fields = {}, to) {
  await fill(page, name, fields);
  await answered(page, () => submitOf(form(page, name)).click(), to);
}

/** Waits for the page that an act leads to, be it loaded or swapped in. */
export async function answered(page, act, to, { swapped = hasScript(page) } = {}) {
  await page.evaluate(() => {
    for (const old of document.querySelectorAll("main, [role=alert]")) old.setAttribute("data-left", "");
    window.stayed = true;
  });
  await act();
  // What the service refuses to do may be told in the form itself, which stays then.
  await page.locator('main:not([data-left]), main [role="alert"]:not([data-left])').first().waitFor({ state: "attached" });
  if (to) await on(page, to);
  if (swapped) assert.ok(await page.evaluate(() => window.stayed), "the page was loaded anew");
}

/** Waits for the page of this name. */
export const on = (page, name) => page.locator(`body[data-page="${name}"]`).waitFor({ state: "attached" });

/** Waits for a page of somebody who is logged in. */
export const inside = (page) => page.locator("body[data-user]").waitFor({ state: "attached" });

export const isInside = async (page) => (await page.locator("body[data-user]").count()) > 0;

export async function register(page, { email, password = PASSWORD, name = "" }) {
  await page.goto(at("/register"));
  await send(page, "register", { name, email, password });
}

export async function logIn(page, { email, password = PASSWORD }, path = "/login") {
  await page.goto(at(path));
  await send(page, "login", { email, password });
  await inside(page);
}

export const logOut = (page) => send(page, "logout", {}, "login");

/** The text that something announced has, which has to be seen. */
export async function said(page, role) {
  const found = page.locator(`[role="${role}"]`).filter({ hasText: /\S/ }).first();
  await found.waitFor({ state: "visible" });
  return (await found.innerText()).trim();
}

/** The error at a field, which has to be seen, belong to its input, and be told as its description. */
export async function errorAt(page, input) {
  const error = page.locator(`#${input}-error`);
  await error.waitFor({ state: "visible" });
  const field = page.locator(`#${input}`);
  assert.equal(await field.getAttribute("aria-invalid"), "true", `#${input} is not marked`);
  const told = ((await field.getAttribute("aria-describedby")) ?? "").split(/\s+/);
  assert.ok(told.includes(`${input}-error`), `#${input} is not described by its error`);
  const text = (await error.innerText()).trim();
  assert.notEqual(text, "");
  return text;
}

/** Waits until a refusal is told, in the page or by a page of its own. */
export const isTold = (page) =>
  page.locator('[role="alert"]:visible, body[data-page="error"] h1:visible').first().waitFor();

/** That no password came back with a page. Scripts may keep what was typed; the service never has it. */
export async function noPasswordIn(page) {
  const values = await page.locator("input[type=password]").evaluateAll((all) => all.map((input) => input.getAttribute("value")));
  assert.ok(values.every((value) => !value), "a password came back");
}

/** The whole text of a page, as it is seen. */
export const textOf = async (page) => page.locator("body").innerText();

// ---- Mail ----

const folder = () => required("DOORWARD_MAIL");

/** The mails to an address, oldest first, each with its subject, its text and its links to the service. */
export function mails(address) {
  const found = [];
  for (const file of readdirSync(folder()).filter((file) => file.endsWith(".eml"))) {
    const path = join(folder(), file);
    const mail = parseMail(readFileSync(path, "latin1"));
    if (!mail.headers.to?.toLowerCase().includes(address.toLowerCase())) continue;
    const links = [...mail.text.matchAll(/https?:\/\/[^\s<>"]+/g)].map(([link]) => link.replace(/[.,)]+$/, ""));
    found.push({ file, at: statSync(path).mtimeMs, subject: mail.headers.subject, text: mail.text, links });
  }
  return found.sort((a, b) => a.at - b.at || a.file.localeCompare(b.file));
}

/** The newest mailed link to a path of the service, once it is there; those in `but` are known already. */
export async function mailedLink(address, path, { but = [] } = {}) {
  const link = await until(`a mail to ${address} with a link to ${path}`, () => {
    const links = mails(address).flatMap((mail) => mail.links);
    return links.filter((link) => new URL(link).pathname.endsWith(path) && !but.includes(link)).at(-1);
  });
  assert.equal(new URL(link).origin, origin, "the link of a mail leads elsewhere");
  return link;
}

function parseMail(source) {
  const { headers, body } = parsePart(source);
  return { headers, text: plainText(headers, body) };
}

function parsePart(source) {
  const [head, ...rest] = source.split(/\r?\n\r?\n/);
  const headers = {};
  for (const line of head.replace(/\r?\n[ \t]+/g, " ").split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { headers, body: rest.join("\r\n\r\n") };
}

function plainText(headers, body) {
  const type = headers["content-type"] ?? "text/plain";
  const boundary = /boundary="?([^";]+)"?/i.exec(type)?.[1];
  if (boundary) {
    const parts = body.split(`--${boundary}`).slice(1, -1).map((part) => parsePart(part.replace(/^\r?\n/, "")));
    const part = parts.find(({ headers }) => headers["content-type"]?.startsWith("text/plain"));
    return part ? plainText(part.headers, part.body) : "";
  }
  const encoding = (headers["content-transfer-encoding"] ?? "7bit").toLowerCase();
  if (encoding === "base64") return Buffer.from(body, "base64").toString();
  if (encoding !== "quoted-printable") return Buffer.from(body, "latin1").toString();
  const bytes = body.replace(/=\r?\n/g, "").replace(/=([0-9A-F]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1").toString();
}
