// What an attacker would try: destinations elsewhere, markup, and requests from other sites.
//
// Needs a fresh service with open registration and the task list, at a `localhost` address: the attacker's site is another
// port of it, which browsers count as the same site and send the cookie to. DOORWARD_URL, DOORWARD_MAIL, CHROMIUM, CHECK:
// see harness.mjs.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import {
  PASSWORD, account, api, at, check, form, giveSession, inside, isInside, logIn, mailedLink, on, origin, raw, run, send,
  sessionCookie, someone, textOf,
} from "./harness.mjs";

const EVIL = "evil.example";

// ---- Where log-in leads ----

function hostileDestinations() {
  const { host } = new URL(at("/"));
  const starts = [
    "https://", "http://", "HTTPS://", "hTtP://", "ftp://", "ws://", "file://", "https:", "https:/", "https:///", "http:\\\\",
    "http:/\\", "https:\\/", "//", "///", "////", "/////", "\\\\", "\\/", "/\\", "/\\/", "\\\\\\", "/\\\\", "//\\", "\\", "\\\t\\",
    "/\t/", "/\n/", "/\r/", "/\r\n/", "\t//", "\n//", " //", "  https://", "\thttps://", "ht\ntps://", "/ /", "/\0/", "\0//", "\x01//",
    "\x1f//", "\x7f//", "/\x0b/", "/\x0c/", "\u00a0//", "\u2028//", "\u2029//", "\ufeff//", "\u200b//", "/\u200b/", "\u202e//",
    "/%09/", "/%0a/", "/%0d/", "/%20/", "/%00/", "/%2f", "/%2F", "%2f%2f", "/%2f/", "/%5c", "/%5C/", "%5c%5c", "%2f%5c", "/%252f",
    "%252f%252f", "/%u002f", "/.//", "/./\\", "/..//", "/../\\", "/%2e//", "/%2e%2e//", "/%2e%2e/%2f", "/account/..//",
    "/account/../\\", "/account/%2e%2e//", "/account/..%2f/", "/;//", ";//", "/;@", "?//", "#//", "/?//", "/#//", "@", "/@", "//@",
    "/:@", ":", ":80@", "//:80@", ".", "..", "./", "../", "../../", "./\\", ".//", "\uff0f\uff0f", "/\uff0f", "\u2044\u2044", "/\u2215",
    "/\u29f8", "\uff3c\uff3c", "/\uff3c", "\u3002", "/\u3002/", "//\uff0e", "\u{e002f}\u{e002f}", "/\u0301/",
    `${origin}@`, `${origin}.`, `${origin}%40`, `${origin}\\@`, `${origin}:x@`, `//${host}@`, `//${host}.`, `//${host}\\@`,
    `//${host}%2f@`, `${origin}/..//`, `${origin}#@`, `${origin}?@`, `///${host}@`, `/\\${host}@`, `javascript://`,
  ];
  const wholes = [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\nscript:alert(1)", "java\tscript:alert(1)", " javascript:alert(1)",
    "\x01javascript:alert(1)", "javascript\u200b:alert(1)", "javascript&colon;alert(1)", "javascript%3aalert(1)",
    `javascript://${host}/%0aalert(1)`, "data:text/html,<script>alert(1)</script>", "DATA:text/html;base64,PHNjcmlwdD4=",
    "vbscript:msgbox(1)", "blob:https://evil.example/x", "about:blank", "view-source:https://evil.example", "filesystem:x",
    "intent://evil.example#Intent;end", "mailto:eve@evil.example", "tel:1", "chrome://settings", "file:///etc/passwd",
    "/account\r\nLocation: https://evil.example/", "/account\r\nSet-Cookie: a=b", "/account%0d%0aLocation:%20https://evil.example",
    "\r\n\r\n<script>alert(1)</script>", "/\r\n//evil.example", '"><script>alert(1)</script>', "'-alert(1)-'", "<//evil.example>",
    "//evil.example:443", "//[::1]", "//[::ffff:127.0.0.1]:1", "//127.1:1", "//2130706433", "//0x7f.1", "//xn--evil-9za.example",
    "//ev\u00edl.example", "//evil\u3002example", "//evil%2eexample", "//user:pass@evil.example", "///evil.example/%2f..",
    "/login?next=//evil.example", "/logout", "", " ", "/", "//", "///", "\\", "?", "#", "%", "%2", "%00", "\0", "/\0", "\ud83d\ude00",
    `/${"a".repeat(3000)}`, `//${"a".repeat(3000)}.example`, `/${"a".repeat(100_000)}`, `/${"/".repeat(5000)}evil.example`,
    `${"../".repeat(2000)}/evil.example`, "[object Object]", "null", "undefined", "{}", "//evil.example".normalize("NFD"),
  ];
  const all = starts.flatMap((start) => [`${start}${EVIL}`, `${start}${EVIL}/account`]);
  return [...new Set([...all, ...wholes])];
}

const destinations = hostileDestinations();
const shown = (value) => JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}...` : value);

/** An answer may send the browser to nowhere but the service. */
function staysHere(answer, value, asked) {
  assert.ok(answer.status < 500, `${shown(value)}: ${answer.status}`);
  const { location } = answer.headers;
  if (answer.status >= 300 && answer.status < 400) assert.ok(location, `${shown(value)}: a redirect to nowhere`);
  if (location === undefined) return;
  const target = new URL(location, at(asked));
  assert.equal(target.origin, origin, `${shown(value)} leads to ${location}`);
  assert.ok(!/[\\\0-\x20\x7f]/.test(location) && !location.startsWith("//"), `${shown(value)} gives Location: ${location}`);
  const cookies = answer.headers["set-cookie"] ?? [];
  assert.ok(cookies.every((cookie) => /^(__Host-)?doorward(-device)?=/.test(cookie)), `${shown(value)} sets ${cookies}`);
}

check(`${destinations.length} hostile destinations stay on the origin after log-in`, async () => {
  assert.ok(destinations.length >= 200);
  const { email } = await account();
  let redirects = 0;
  for (const next of destinations) {
    const answer = await raw("POST", "/login", { form: { email, password: PASSWORD, next }, headers: { origin, accept: "text/html" } });
    staysHere(answer, next, "/login");
    if (answer.status === 303) redirects += 1;
  }
  assert.ok(redirects > destinations.length / 2, `only ${redirects} were let in`);
}, { seconds: 300 });

check("they do when the bytes are no text, and when there are two of them", async () => {
  const { email } = await account();
  const start = new URLSearchParams({ email, password: PASSWORD }).toString();
  for (const rest of [
    "next=%C0%AF%C0%AFevil.example", "next=/%C0%AFevil.example", "next=%E0%80%AF%E0%80%AFevil.example", "next=%FF%FE//evil.example",
    "next=%2F%FFevil.example", "next=%2F%2Fevil.example", "next=%252F%252Fevil.example", "next=/account&next=//evil.example",
    "next=//evil.example&next=/account", "next[]=//evil.example", "next=//evil.example;next=/account", "next=%", "next=%zz//evil.example",
  ]) {
    const headers = { origin, accept: "text/html", "content-type": "application/x-www-form-urlencoded" };
    staysHere(await raw("POST", "/login", { body: `${start}&${rest}`, headers }), rest, "/login");
  }
});

check("they do for who is logged in already, and in the pages' own links", async () => {
  const user = await account();
  for (const value of destinations.filter(({ length }) => length < 10_000)) {
    for (const path of ["/login", "/register"]) {
      const asked = `${path}?next=${encodeURIComponent(value.toWellFormed?.() ?? value)}`;
      const cookie = await keptCookie(user);
      const answer = await raw("GET", asked, { headers: { accept: "text/html", cookie } });
      noteCookie(answer);
      staysHere(answer, value, asked);
      const visitor = await raw("GET", asked, { headers: { accept: "text/html" } });
      assert.ok(visitor.status < 500);
      const kept = /name="next"\s+value="([^"]*)"/.exec(visitor.text)?.[1];
      if (kept === undefined) continue;
      const text = kept.replace(/&#x([0-9a-f]+);/gi, (_, hex) => String.fromCodePoint(parseInt(hex, 16)))
        .replace(/&quot;/g, '"').replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)))
        .replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
      assert.equal(new URL(text, at(path)).origin, origin, `${shown(value)} stands in the form as ${text}`);
    }
  }
}, { seconds: 120 });

// One session for many requests, in the way of a browser: what the service sets is what it gets back.
let jar;
async function keptCookie(user) {
  if (!jar) {
    const { name, value } = await sessionCookie(user);
    jar = `${name}=${value}`;
  }
  return jar;
}
function noteCookie({ headers }) {
  const set = headers["set-cookie"]?.[0];
  if (set) jar = set.split(";")[0];
}

for (const js of [true, false]) {
  check(`they do in a browser, ${js ? "with" : "without"} scripts`, async (stage) => {
    const { email } = await account();
    // A browser has no way to write what is no URL, and the very long ones are the same to it.
    const able = destinations.filter(({ length }) => length < 500);
    const chosen = Array.from({ length: 15 }, (_, n) => able[Math.floor((n * able.length) / 15) + (js ? 0 : 3)]).filter(Boolean);
    for (const next of chosen) {
      const page = await stage.open({ js });
      await page.goto(at(`/login?next=${encodeURIComponent(next)}`));
      await send(page, "login", { email, password: PASSWORD });
      await inside(page);
      assert.equal(new URL(page.url()).origin, origin, `${shown(next)} led to ${page.url()}`);
      await page.context().close();
    }
  }, { seconds: 180 });

  check(`a destination in the form itself stays here as well, ${js ? "with" : "without"} scripts`, async (stage) => {
    const { email } = await account();
    for (const next of ["//evil.example", "/\\evil.example", "https://evil.example/", "javascript:window.pwned=1"]) {
      const page = await stage.open({ js });
      await page.goto(at("/login"));
      await form(page, "login").evaluate((form, next) => {
        const field = document.createElement("input");
        Object.assign(field, { type: "hidden", name: "next", value: next });
        form.append(field);
      }, next);
      await send(page, "login", { email, password: PASSWORD });
      await inside(page);
      assert.equal(new URL(page.url()).origin, origin);
      assert.equal(await page.evaluate(() => window.pwned), undefined);
    }
  });
}

// ---- Markup ----

const MARKUP = [
  '<img src=x onerror="window.pwned=1">', '"><script>window.pwned=1</script>', "' autofocus onfocus='window.pwned=1",
  "</textarea></title><svg onload=window.pwned=1>", "{{ 7 * 7 }}{% raw %}", "${7*7}<!--", "&lt;b&gt;&amp;", "Ada & <Grace>",
];

for (const js of [true, false]) {
  const both = (name, act) => check(`${name}, ${js ? "with" : "without"} scripts`, (stage) => act(stage, { js }));

  both("markup in a name shows as text", async (stage, options) => {
    for (const name of MARKUP) {
      const page = await stage.open(options);
      await page.goto(at("/register"));
      await send(page, "register", { name, email: someone(), password: PASSWORD });
      await inside(page);
      await page.goto(at("/account"));
      assert.equal(await page.locator("#profile-name").inputValue(), name);
      await send(page, "profile", { name: `${name}!` }, "account");
      assert.equal(await page.locator("#profile-name").inputValue(), `${name}!`);
      await harmless(page, name);
    }
  });

  both("markup in an address shows as text", async (stage, options) => {
    // All that an address may be made of and that means something elsewhere.
    for (const local of ["o'brien&amp", "a{{7*7}}", "a{%raw%}", "x&lt=`$", "a/*'--", "#{7*7}|!"]) {
      const email = `${local}+${someone("m").replaceAll(".", "-").replace("@example-com", "@example.com")}`;
      const page = await stage.open(options);
      await page.goto(at("/register"));
      await send(page, "register", { email, password: PASSWORD });
      await inside(page);
      await page.goto(at("/account"));
      assert.ok((await textOf(page)).includes(email), `${email} is not shown as it is`);
      await harmless(page, email);
    }
  });

  both("markup in a user agent shows as text", async (stage, options) => {
    const user = await account();
    for (const userAgent of MARKUP) {
      const other = await stage.open({ ...options, userAgent: `${userAgent} Thing` });
      await logIn(other, user);
    }
    const page = await stage.open(options);
    await logIn(page, user);
    await page.goto(at("/account"));
    await harmless(page, "a user agent");
    const { sessions } = await api("GET", "/api/auth/sessions", { token: user.token });
    const text = (await page.locator("#sessions").innerText()).replace(/\s+/g, " ");
    for (const { user_agent } of sessions.filter(({ user_agent }) => user_agent?.endsWith("Thing"))) {
      // A device that can be told is told in place of its user agent.
      if (/^[\w-]+\//.test(user_agent)) continue;
      assert.ok(text.includes(user_agent.replace(/\s+/g, " ")), `${user_agent} is not shown as it is`);
    }
    assert.ok(sessions.filter(({ user_agent }) => user_agent?.endsWith("Thing")).length >= MARKUP.length);
  });

  both("markup in a URL shows as text, if at all", async (stage, options) => {
    const page = await stage.open(options);
    for (const markup of MARKUP) {
      const text = encodeURIComponent(markup);
      for (const path of [
        `/login?next=${text}`, `/login?next=/${text}`, `/register?next=/${text}`, `/login?done=${text}`, `/login?email=${text}`,
        `/no-such-${text}`, `/verify-email?token=${text}`, `/reset-password?token=${text}`, `/login?${text}=${text}`,
      ]) {
        await page.goto(at(path));
        await harmless(page, path);
      }
    }
  });
}

/** No element and no script came from a text. */
async function harmless(page, what) {
  const found = await page.evaluate(() => ({
    pwned: window.pwned,
    foreign: document.querySelectorAll("img[src='x'], svg[onload], [onerror], [onfocus], [onload], script:not([src]), b").length,
  }));
  assert.deepEqual(found, { pwned: undefined, foreign: 0 }, `${what} became markup`);
  assert.ok(!/\b49\b/.test(await page.locator("main").innerText()) || !what.includes("7"), `${what} was evaluated`);
}

check("markup in fields that browsers would not let through comes back as text", async () => {
  for (const markup of MARKUP.slice(0, 4)) {
    for (const [path, fields] of [
      ["/login", { email: markup, password: markup, next: markup }], ["/register", { name: markup, email: markup, password: "x", next: markup }],
      ["/forgot-password", { email: markup }], ["/verify-email", { email: markup }], ["/reset-password", { token: markup, password: "x" }],
      ["/verify-email", { token: markup }], ["/change-email", { token: markup }],
    ]) {
      const { status, text } = await raw("POST", path, { form: fields, headers: { origin, accept: "text/html" } });
      assert.ok(status < 500, `POST ${path}: ${status}`);
      for (const piece of ["<img src=x", "<script>window", "<svg onload", "' autofocus onfocus='"]) {
        assert.ok(!text.includes(piece), `POST ${path} gives ${piece} back`);
      }
    }
  }
});

// ---- Other sites ----

/** Every form of the service with what a user would send, so that nothing but its origin is wrong with a request. */
async function everyForm() {
  const user = await account({ name: "Unchanged" });
  const other = someone("other");
  const [task] = [await api("POST", "/api/users/me/tasks", { token: user.token, json: { title: "Unchanged" } })];
  await api("POST", "/api/auth/verify-email/resend", { json: { email: user.email } });
  await api("POST", "/api/auth/reset-password", { json: { email: user.email } });
  await api("POST", "/api/auth/change-email", { token: user.token, json: { email: other, password: PASSWORD } });
  const token = async (address, path) => new URL(await mailedLink(address, path)).searchParams.get("token");
  const { sessions } = await api("GET", "/api/auth/sessions", { token: user.token });
  const newcomer = someone("newcomer");
  const version = String(task.version);
  const forms = [
    ["/login", { email: user.email, password: PASSWORD }],
    ["/register", { name: "", email: newcomer, password: PASSWORD }],
    ["/forgot-password", { email: user.email }],
    ["/verify-email", { email: user.email }],
    ["/verify-email", { token: await token(user.email, "/verify-email") }],
    ["/reset-password", { token: await token(user.email, "/reset-password"), password: "another quiet harbour" }],
    ["/change-email", { token: await token(other, "/change-email") }],
    ["/undo-email-change", { token: `dwo_${"A".repeat(43)}` }],
    ["/account/profile", { name: "Changed" }],
    ["/account/email", { email: someone("taken"), password: PASSWORD }],
    ["/account/password", { current_password: PASSWORD, new_password: "another quiet harbour" }],
    ["/account/sessions/end", { id: sessions[0].id }],
    ["/account/sessions/end-all", {}],
    ["/tasks", { title: "Added" }],
    [`/tasks/${task.id}`, { version, title: "Changed", description: "" }],
    [`/tasks/${task.id}/complete`, { version, completed: "true" }],
    [`/tasks/${task.id}/delete`, { version }],
    ["/account/delete", { password: PASSWORD }],
    ["/logout", {}],
  ];

  const unchanged = async () => {
    const me = await api("GET", "/api/auth/me", { token: user.token });
    assert.deepEqual([me.name, me.email, me.email_verified], ["Unchanged", user.email, false]);
    const { tasks } = await api("GET", "/api/users/me/tasks", { token: user.token });
    assert.deepEqual(tasks, [task]);
    const now = (await api("GET", "/api/auth/sessions", { token: user.token })).sessions.map(({ id }) => id);
    for (const { id } of sessions) assert.ok(now.includes(id), "a session was ended");
    const login = await raw("POST", "/api/auth/login", { json: { email: user.email, password: PASSWORD } });
    assert.equal(login.status, 200, "the password was changed");
    const unborn = await raw("POST", "/api/auth/login", { json: { email: newcomer, password: PASSWORD } });
    assert.equal(unborn.status, 401, "an account was made");
  };
  return { user, forms, unchanged };
}

/** The routes of the API that take the cookie, or set it. */
const cookieRoutes = ({ email }) => [
  ["/api/auth/refresh", undefined],
  ["/api/auth/refresh", {}],
  ["/api/auth/logout", undefined],
  ["/api/auth/login", { email, password: PASSWORD, session: "cookie" }],
  ["/api/auth/register", { email: someone("cookie"), password: PASSWORD, session: "cookie" }],
];

check("a POST from any other origin, or from none, is refused by every form and every route of the cookie", async () => {
  const { user, forms, unchanged } = await everyForm();
  const cookie = await sessionCookie(user).then(({ name, value }) => `${name}=${value}`);
  const { protocol, host, port } = new URL(origin);
  const origins = [
    { origin: "https://evil.example" }, { origin: "null" }, {}, { origin: "" }, { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" }, { "sec-fetch-site": "none" }, { origin: `${protocol}//localhost:${Number(port) + 1}` },
    { origin: `${origin}.evil.example` }, { origin: `${protocol}//evil.localhost:${port}` }, { origin: `${origin}/` },
    { origin: `${origin}@evil.example` }, { origin: `${protocol === "https:" ? "http:" : "https:"}//${host}` },
    { origin: origin.toUpperCase() }, { origin: ["https://evil.example", origin] }, { origin: [origin, "https://evil.example"] },
    { origin: `${origin} https://evil.example` }, { origin: "https://evil.example", "sec-fetch-site": "same-origin" },
    { origin: "https://evil.example", referer: at("/account") }, { referer: at("/account") }, { "x-forwarded-host": EVIL, origin: `http://${EVIL}` },
  ];
  const let_in = [];
  for (const headers of origins) {
    for (const [path, fields] of forms) {
      const { status } = await raw("POST", path, { form: fields, headers: { accept: "text/html", cookie, ...headers } });
      if (status !== 403) let_in.push(`POST ${path} with ${JSON.stringify(headers)}: ${status}`);
    }
    for (const [path, json] of cookieRoutes(user)) {
      const { status } = await raw("POST", path, { json, headers: { cookie, ...headers } });
      if (status !== 403) let_in.push(`POST ${path} ${JSON.stringify(json)} with ${JSON.stringify(headers)}: ${status}`);
    }
  }
  assert.deepEqual(let_in, []);
  await unchanged();
  const still = await raw("GET", "/account", { headers: { accept: "text/html", cookie } });
  assert.equal(still.status, 200, "the session is gone");
}, { seconds: 180 });

check("the cookie alone opens nothing else of the API", async () => {
  const user = await account();
  const cookie = await sessionCookie(user).then(({ name, value }) => `${name}=${value}`);
  const headers = { cookie, origin };
  for (const [method, path, json] of [
    ["GET", "/api/auth/me"], ["PATCH", "/api/auth/me", { name: "Changed" }], ["DELETE", "/api/auth/me", { password: PASSWORD }],
    ["GET", "/api/auth/sessions"], ["GET", "/api/auth/events"], ["POST", "/api/auth/logout-all"],
    ["POST", "/api/auth/change-password", { current_password: PASSWORD, new_password: "another quiet harbour" }],
    ["POST", "/api/auth/change-email", { email: someone(), password: PASSWORD }], ["GET", "/api/users/me/tasks"],
    ["POST", "/api/users/me/tasks", { title: "Added" }],
  ]) {
    const { status } = await raw(method, path, { json, headers });
    assert.equal(status, 401, `${method} ${path}`);
  }
});

check("no form is answered to a GET, and none takes what is no form", async () => {
  const { user, forms, unchanged } = await everyForm();
  const cookie = await sessionCookie(user).then(({ name, value }) => `${name}=${value}`);
  // Leaving needs nothing that a body could say.
  const needy = forms.filter(([path]) => path !== "/logout" && !path.endsWith("/end-all"));
  for (const [path, fields] of needy) {
    const asked = await raw("GET", `${path}?${new URLSearchParams(fields)}`, { headers: { accept: "text/html", cookie } });
    assert.ok(asked.status < 500, `GET ${path}: ${asked.status}`);
    const body = JSON.stringify(fields);
    for (const type of ["text/plain", "application/json", "multipart/form-data; boundary=x", undefined]) {
      const headers = { accept: "text/html", cookie, origin, ...(type && { "content-type": type }) };
      const { status } = await raw("POST", path, { body, headers });
      assert.ok(status >= 400 && status < 500, `POST ${path} as ${type}: ${status}`);
    }
  }
  await unchanged();
});

/** A site of somebody else's, on another port and under two names. */
async function evilSite(pages) {
  const server = createServer((request, response) => {
    const html = pages.get(request.url);
    response.writeHead(html ? 200 : 404, { "content-type": "text/html; charset=utf-8" });
    response.end(html ? `<!doctype html><meta charset="utf-8"><title>Win</title>${html}` : "");
  });
  await new Promise((resolve) => server.listen(0, resolve));
  const { port } = server.address();
  return { server, origins: [`http://localhost:${port}`, `http://127.0.0.1:${port}`] };
}

const escaped = (text) => text.replace(/[&"<>]/g, (c) => `&#${c.codePointAt(0)};`);

check("another site's forms and scripts change nothing", async (stage) => {
  const { user, forms, unchanged } = await everyForm();
  const context = await stage.context({ watched: false });
  await giveSession(context, user);
  const own = await context.newPage();
  await own.goto(at("/account"));
  await on(own, "account");
  // So that no page refreshes while its session is being attacked.
  await own.close();

  const pages = new Map();
  const types = ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"];
  const urls = [...forms, ...cookieRoutes(user).map(([path, json]) => [path, json ?? {}])];
  for (const [n, [path, fields]] of urls.entries()) {
    for (const [kind, type] of types.entries()) {
      const inputs = Object.entries(fields).map(([name, value]) => `<input name="${name}" value="${escaped(value)}">`);
      pages.set(`/form/${n}/${kind}`, `<form method="post" action="${at(path)}" enctype="${type}">${inputs.join("")}</form>
        <script>document.forms[0].submit()</script>`);
    }
    pages.set(`/fetch/${n}`, `<script>
      const [url, fields] = ${JSON.stringify([at(path), fields]).replaceAll("<", "\\u003c")};
      const form = new URLSearchParams(fields), text = JSON.stringify(fields), all = [];
      const ask = (init) => fetch(url, { method: "POST", credentials: "include", ...init }).then((r) => r.type + r.status, () => "blocked");
      for (const mode of ["no-cors", "cors"]) {
        all.push(ask({ mode, body: form }), ask({ mode, body: text }), ask({ mode }));
        all.push(ask({ mode, body: new Blob([text], { type: "text/plain; application/json" }) }));
        all.push(ask({ mode, body: form, referrerPolicy: "no-referrer" }));
      }
      all.push(ask({ mode: "cors", body: text, headers: { "content-type": "application/json" } }));
      all.push(ask({ mode: "cors", body: form, headers: { "x-requested-with": "x" } }));
      navigator.sendBeacon(url, form);
      Promise.all(all).then((answers) => (document.title = "done " + answers.join()));
    </script>`);
  }
  const { server, origins } = await evilSite(pages);
  try {
    for (const site of origins) {
      for (const path of pages.keys()) {
        const page = await context.newPage();
        if (path.startsWith("/form/")) {
          const answer = page.waitForResponse((response) => response.request().method() === "POST");
          await page.goto(site + path, { waitUntil: "commit" });
          const response = await answer;
          // The API refuses what is not JSON before it looks where that came from; between sites there is no cookie either.
          const refusals = new URL(response.url()).pathname.startsWith("/api/") ? [401, 403, 415, 422] : [403];
          assert.ok(refusals.includes(response.status()), `${response.url()} from ${site}: ${response.status()}`);
        } else {
          await page.goto(site + path);
          await page.waitForFunction(() => document.title.startsWith("done"));
          const answers = await page.title();
          assert.ok(!/cors\d|basic/.test(answers.replaceAll("opaque0", "")), `${path} from ${site} reads ${answers}`);
        }
        await page.close();
      }
    }
  } finally {
    server.closeAllConnections();
    server.close();
  }
  await unchanged();
  const page = await context.newPage();
  await page.goto(at("/account"));
  assert.ok(await isInside(page), "the session was ended");
}, { seconds: 300 });

check("another site cannot frame the pages", async (stage) => {
  const pages = new Map([["/frame", `<iframe src="${at("/login")}"></iframe>`]]);
  const { server, origins } = await evilSite(pages);
  try {
    const page = await stage.open({ watched: false });
    for (const site of origins) {
      await page.goto(`${site}/frame`);
      const frame = page.frames()[1];
      const text = await frame?.locator("body").innerText({ timeout: 1000 }).catch(() => "");
      assert.ok(!frame || !(await frame.locator('form[data-form="login"]').count()), `${site} frames the log-in: ${text}`);
    }
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

await run();
