// A browser solves what a service asks for before it does what a form wants.
//
// Needs a fresh service with open registration that asks for proofs of work, of so many bits that they take a moment.
// DOORWARD_URL, DOORWARD_MAIL, CHROMIUM, CHECK: see harness.mjs.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import {
  PASSWORD, answered, at, check, fill, form, inside, isInside, mailedLink, on, register, run, said, send, someone,
  submitOf, until,
} from "./harness.mjs";

/** The proofs that the forms of a page bring. */
function proofs(page) {
  const sent = [];
  page.on("request", (request) => {
    const isForm = request.method() === "POST" && !request.url().includes("/api/");
    if (isForm) sent.push(request.headers()["doorward-proof"] ?? null);
  });
  return sent;
}

check("registering is asked for work, says so, and goes on by itself", async (stage) => {
  const page = await stage.open();
  const sent = proofs(page);
  // However soon it is solved, it takes a moment to begin.
  await page.route(/proof\.js/, async (route) => {
    await pause(600);
    await route.continue();
  });
  await page.goto(at("/register"));
  await fill(page, "register", { email: someone(), password: PASSWORD });
  await answered(page, async () => {
    await submitOf(form(page, "register")).click();
    assert.match(await said(page, "status"), /^Checking your browser/);
    assert.equal(await form(page, "register").getAttribute("aria-busy"), "true");
  });
  await inside(page);
  assert.equal(sent.length, 2, `${sent.length} forms were sent`);
  assert.equal(sent[0], null);
  assert.match(sent[1], /^dwp_[\w-]{79}\.\d+$/);
});

check("the page answers while it works, with and without a worker", async (stage) => {
  for (const worker of [true, false]) {
    const page = await stage.open();
    if (!worker) await page.addInitScript(() => delete globalThis.Worker);
    const workers = [];
    page.on("worker", (started) => workers.push(started.url()));
    await page.goto(at("/register"));
    await fill(page, "register", { email: someone(), password: PASSWORD });
    await page.evaluate(() => {
      window.longest = 0;
      let before = performance.now();
      const look = () => {
        const now = performance.now();
        window.longest = Math.max(window.longest, now - before);
        before = now;
        setTimeout(look);
      };
      look();
    });
    await answered(page, () => submitOf(form(page, "register")).click());
    await inside(page);
    assert.equal(workers.length, worker ? 1 : 0);
    const longest = await page.evaluate(() => window.longest);
    assert.ok(longest < 300, `the page stood still for ${longest} ms`);
  }
});

check("asking for mails is work as well", async (stage) => {
  const email = someone();
  const page = await stage.open();
  await register(page, { email });
  await inside(page);
  const first = await mailedLink(email, "/verify-email");
  await page.goto(at("/verify-email"));
  await on(page, "verify_email");
  const sent = proofs(page);
  await send(page, "resend", { email }, "message");
  await mailedLink(email, "/verify-email", { but: [first] });
  await page.goto(at("/forgot-password"));
  await send(page, "forgot", { email }, "message");
  await mailedLink(email, "/reset-password");
  assert.deepEqual(sent.map(Boolean), [false, true, false, true]);
});

check("a registration that is refused for its password can be mended", async (stage) => {
  const page = await stage.open();
  await register(page, { email: someone(), password: "password" });
  await on(page, "register");
  await page.locator("#password-error").waitFor({ state: "visible" });
  await send(page, "register", { password: PASSWORD });
  await inside(page);
});

check("the client does it for pages of one's own", async (stage) => {
  const page = await stage.open();
  // A page that stays where it is when somebody logs in.
  await page.goto(at("/forgot-password"));
  const email = someone();
  const user = await page.evaluate(async ([url, email, password]) => {
    const { createClient } = await import(url);
    const client = createClient({ baseUrl: new URL("..", url).href });
    return client.register({ email, password });
  }, [at("/assets/doorward.js"), email, PASSWORD]);
  assert.equal(user.email, email);
});

check("without scripts the form says that they are needed, and keeps what was typed", async (stage) => {
  const page = await stage.open({ js: false });
  const email = someone();
  await register(page, { email });
  await on(page, "register");
  assert.match(await said(page, "alert"), /needs scripts/);
  assert.equal(await page.locator("#email").inputValue(), email);
  assert.ok(!(await isInside(page)));
});

check("a solver that cannot be loaded is told as what it is, and the form stays", async (stage) => {
  const page = await stage.open({ lossy: true });
  await page.route(/proof\.js/, (route) => route.abort());
  await page.goto(at("/register"));
  await fill(page, "register", { email: someone(), password: PASSWORD });
  await submitOf(form(page, "register")).click();
  await until("an alert", async () => (await said(page, "alert")).includes("could not be reached"));
  assert.equal(await page.locator("#password").inputValue(), PASSWORD);
});

await run();
