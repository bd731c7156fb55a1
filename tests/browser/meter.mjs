// What the pages say of a new password while it is typed: advice, and nothing that leaves the page or keeps anybody from
// anything.
//
// Needs a fresh service with open registration. DOORWARD_URL, DOORWARD_MAIL, CHROMIUM, CHECK: see harness.mjs.

import assert from "node:assert/strict";
import {
  account, at, check, fill, giveSession, inside, mailedLink, on, run, send, someone, submitOf, form, until,
} from "./harness.mjs";

const GOOD = "a quiet harbour at dusk";

/** Types a password and waits until what is said of it is as expected; gives it. */
async function said(page, field, password, expected) {
  await page.locator(`#${field}`).fill(password);
  const place = page.locator(`#${field}-meter`);
  return until(`${expected} about ${JSON.stringify(password)}`, async () => {
    const text = (await place.innerText()).trim();
    return expected.test(text) && text;
  });
}

/** What a page asks for from now on. */
function watched(page) {
  const requests = [];
  page.on("request", (request) => requests.push(request));
  return requests;
}

check("a password is told to be weak or strong, and how it would be stronger", async (stage) => {
  const page = await stage.open();
  await page.goto(at("/register"));
  await fill(page, "register", { name: "Ada Lovelace", email: "ada.lovelace@example.com" });
  for (const [password, expected] of [
    ["password", /^Password strength: very weak\. Many people/],
    ["qwertyuiop", /^Password strength: very weak\. Many people/],
    ["abcdefgh", /^Password strength: very weak\. .*sequences/],
    ["aaaaaaaa", /^Password strength: very weak\. .*repeats/],
    ["pomegranate", /^Password strength: (very )?weak\. A single word/],
    ["lovelace", /^Password strength: (very )?weak\. Leave out your name/],
    ["ada.lovelace@example.com", /^Password strength: (very )?weak\. Leave out your name, your address/],
    [GOOD, /^Password strength: strong\.$/],
  ]) {
    await said(page, "password", password, expected);
  }
  const bar = page.locator("#password-meter meter");
  assert.equal(await bar.getAttribute("aria-hidden"), "true");
  assert.equal(await bar.evaluate((bar) => bar.value), 4);
  await page.locator("#password").fill("");
  await until("nothing is said of no password", async () => (await page.locator("#password-meter > *").count()) === 0);
});

check("it is read out in turn, and stands where it was before anything was typed", async (stage) => {
  const page = await stage.open();
  await page.goto(at("/register"));
  const place = page.locator("#password-meter");
  assert.equal(await place.getAttribute("aria-live"), "polite");
  assert.equal(await place.evaluate((place) => place.getBoundingClientRect().height), 0);
  await place.evaluate((place) => (place.first = true));
  await said(page, "password", GOOD, /strong/);
  assert.ok(await place.evaluate((place) => place.first), "the place that is read out was replaced");
});

check("it is there wherever a password is set, and nowhere else", async (stage) => {
  const user = await account();
  const context = await stage.context();
  await giveSession(context, user);
  const page = await context.newPage();
  await page.goto(at("/account"));
  await said(page, "password-new_password", "password", /very weak/);
  await said(page, "password-new_password", user.email, /Leave out your name/);
  assert.equal(await page.locator("[data-meter]").count(), 1, "another password is judged as well");

  const visitor = await stage.open();
  await visitor.goto(at("/login"));
  assert.equal(await visitor.locator("[data-meter]").count(), 0);
  await visitor.goto(at("/forgot-password"));
  await send(visitor, "forgot", { email: user.email }, "message");
  await visitor.goto(await mailedLink(user.email, "/reset-password"));
  await said(visitor, "password", "password", /very weak/);
});

check("nothing is loaded before it is needed, and no password goes anywhere", async (stage) => {
  const page = await stage.open();
  const requests = watched(page);
  await page.goto(at("/register"));
  await page.waitForLoadState("networkidle");
  const loaded = () => requests.filter((request) => /\/(meter|zxcvbn)\./.test(request.url()));
  assert.deepEqual(loaded().map((request) => request.url()), []);
  await fill(page, "register", { email: someone() });
  assert.equal(loaded().length, 0, "an address loads the meter");
  await said(page, "password", GOOD, /strong/);
  await said(page, "password", "password", /weak/);
  const names = loaded().map((request) => new URL(request.url()).pathname.split("/").at(-1));
  assert.deepEqual(names.toSorted(), ["meter.en.json", "meter.js", "zxcvbn.js"]);
  for (const request of requests) {
    assert.equal(request.method(), "GET", request.url());
    assert.ok(!/harbour/.test(decodeURIComponent(request.url())), request.url());
  }
});

check("advice keeps nobody from registering, nor does the lack of it", async (stage) => {
  const page = await stage.open();
  await page.goto(at("/register"));
  await said(page, "password", "pomegranate", /weak/);
  await send(page, "register", { email: someone(), password: "pomegranate" });
  await inside(page);

  const without = await stage.open({ lossy: true });
  await without.route(/zxcvbn/, (route) => route.abort());
  await without.goto(at("/register"));
  await send(without, "register", { email: someone(), password: GOOD });
  await inside(without);
});

check("it speaks the language of the page", async (stage) => {
  const page = await stage.open({ locale: "de-DE" });
  await page.goto(at("/register"));
  await said(page, "password", "password", /^Stärke des Passworts: sehr schwach\. Viele Menschen/);
  await said(page, "password", GOOD, /: stark\.$/);
});

check("without scripts there is nothing of it", async (stage) => {
  const page = await stage.open({ js: false });
  await page.goto(at("/register"));
  await fill(page, "register", { email: someone(), password: GOOD });
  assert.equal((await page.locator("#password-meter").innerText()).trim(), "");
  await submitOf(form(page, "register")).click();
  await on(page, "tasks");
});

await run();
