// The notice before a session ends.
//
// Needs a fresh service with open registration and `sessions.idle` of SESSION_IDLE seconds, 8 to 20, and
// `sessions.absolute` of at least ten times that. DOORWARD_URL, DOORWARD_MAIL, CHROMIUM, CHECK: see harness.mjs.
//
// NOTICE        the selector of the notice, `.doorward-notice` unless given
// NOTICE_EXTEND the selector of its button to stay, inside it; `.doorward-notice-stay` unless given

import assert from "node:assert/strict";
import { account, at, check, giveSession, on, required, run, until } from "./harness.mjs";

const IDLE = Number(required("SESSION_IDLE"));
const NOTICE = process.env.NOTICE || ".doorward-notice";
const EXTEND = process.env.NOTICE_EXTEND || ".doorward-notice-stay";

async function member(stage, count = 1) {
  const context = await stage.context();
  const user = await account();
  await giveSession(context, user);
  const pages = [];
  for (let n = 0; n < count; n++) pages.push(await context.newPage());
  for (const page of pages) {
    await page.goto(at("/account"));
    await on(page, "account");
  }
  return { context, pages };
}

const shown = (page) => page.locator(NOTICE).first().waitFor({ state: "visible", timeout: IDLE * 1000 });
const gone = (page) => page.locator(NOTICE).first().waitFor({ state: "hidden", timeout: IDLE * 1000 });

/** When the browser would let the session's cookie go, in seconds since 1970. */
const end = async (context) => (await context.cookies())[0]?.expires;

check("a session that is about to end says so, and its button lets it go on", async (stage) => {
  const { context, pages: [page] } = await member(stage);
  const opened = performance.now();
  await shown(page);
  assert.ok(performance.now() - opened >= IDLE * 250, "the notice came much too early");
  assert.ok(performance.now() - opened < IDLE * 1000, "the notice came too late");
  const ends = await end(context);
  assert.ok((await page.locator(NOTICE).first().innerText()).trim() !== "");
  await page.locator(NOTICE).locator(EXTEND).click();
  await gone(page);
  await until("the session ends later", async () => (await end(context)) > ends);
  // Past what would have been the end.
  await until("the first end is past", () => performance.now() - opened > IDLE * 1100, IDLE * 2000);
  assert.equal(await page.locator("body").getAttribute("data-page"), "account");
  await page.reload();
  await on(page, "account");
}, { seconds: 20 + 5 * IDLE });

check("the notice is told to those who do not see it, and its button is reached by keyboard", async (stage) => {
  const { pages: [page] } = await member(stage);
  await shown(page);
  const told = await page.locator(NOTICE).first().evaluate((notice) => {
    const roles = "[role=alert], [role=status], [role=alertdialog], [role=dialog], [aria-live], dialog";
    return Boolean(notice.closest(roles) || notice.querySelector(roles));
  });
  assert.ok(told, "nothing announces it");
  await until("the button has the focus", async () => {
    await page.keyboard.press("Tab");
    return page.locator(NOTICE).locator(EXTEND).evaluate((button) => button === document.activeElement);
  });
  await page.keyboard.press("Enter");
  await gone(page);
}, { seconds: 20 + 5 * IDLE });

check("the notice is shown in every tab and goes in all when one extends", async (stage) => {
  const { pages } = await member(stage, 2);
  await Promise.all(pages.map(shown));
  await pages[0].locator(NOTICE).locator(EXTEND).click();
  await Promise.all(pages.map(gone));
  for (const page of pages) assert.equal(await page.locator("body").getAttribute("data-page"), "account");
}, { seconds: 20 + 5 * IDLE });

check("a session that is not extended ends, and the page leaves for log-in", async (stage) => {
  const { pages: [page] } = await member(stage);
  await shown(page);
  await page.locator('body[data-page="login"]').waitFor({ state: "attached", timeout: IDLE * 2000 });
  assert.ok(!(await page.content()).includes("data-user"));
}, { seconds: 20 + 5 * IDLE });

check("a session that is used goes on without a notice's button", async (stage) => {
  const { pages: [page] } = await member(stage);
  const opened = performance.now();
  await until("a session in use outlives its idle limit", async () => {
    await page.reload();
    await on(page, "account");
    return performance.now() - opened > IDLE * 1500;
  }, IDLE * 3000);
}, { seconds: 20 + 5 * IDLE });

await run();
