// Whether everybody can use the pages: axe, the keyboard alone, a focus to be seen, and no sideways scrolling.
//
// Needs a fresh service with open registration and the task list. DOORWARD_URL, DOORWARD_MAIL, CHROMIUM, CHECK: see
// harness.mjs.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import {
  PASSWORD, account, answered, at, check, giveSession, inside, logIn, on, run, said, someone, submitOf, until,
} from "./harness.mjs";
import { walk, world } from "./views.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** What axe finds. A page's policy does not hold for what a debugger evaluates, so that it stays as it is. */
async function violations(page) {
  await page.evaluate(AXE);
  const found = await page.evaluate((tags) => window.axe.run(document, {
    runOnly: { type: "tag", values: tags }, resultTypes: ["violations"],
  }), TAGS);
  return found.violations.flatMap(({ id, help, nodes }) => nodes.map(({ target, failureSummary }) =>
    `${id} (${help}) at ${target.join(" ")}: ${failureSummary.replace(/\s+/g, " ")}`));
}

// ---- The keyboard ----

async function tabTo(page, target) {
  for (let n = 0; n < 150; n++) {
    if (await target.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`the keyboard does not get to ${target}`);
}

async function type(page, selector, text) {
  await tabTo(page, page.locator(selector));
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type(text);
}

async function press(page, target, key, to) {
  await tabTo(page, target);
  await answered(page, () => page.keyboard.press(key), to, { swapped: false });
}

const nav = (page, path) => page.locator(`header nav a[href$="${path}"]`);

for (const js of [true, false]) {
  check(`the keyboard alone does everything, ${js ? "with" : "without"} scripts`, async (stage) => {
    const page = await stage.open({ js });
    const email = someone();
    await page.goto(at("/login"));
    await press(page, page.locator('main a[href*="/register"]'), "Enter", "register");
    await type(page, "#name", "Ada");
    await type(page, "#email", email);
    await type(page, "#password", PASSWORD);
    await answered(page, () => page.keyboard.press("Enter"));
    await inside(page);

    await press(page, nav(page, "/account"), "Enter", "account");
    await type(page, "#profile-name", "Grace");
    await answered(page, () => page.keyboard.press("Enter"), "account");
    await said(page, "status");
    assert.equal(await page.locator("#profile-name").inputValue(), "Grace");

    // A password is set by the button rather than by Enter.
    await type(page, "#password-current_password", PASSWORD);
    await type(page, "#password-new_password", `${PASSWORD} again`);
    await press(page, submitOf(page.locator('form[data-form="password"]')), "Space", "account");
    await said(page, "status");

    await press(page, nav(page, "/tasks"), "Enter", "tasks");
    if (js) await page.locator("[data-tasks].live").waitFor();
    const list = page.locator(".list > li");
    const act = (go) => (js ? go() : answered(page, go, "tasks"));
    await type(page, "#title", "Buy bread");
    await act(() => page.keyboard.press("Enter"));
    await list.filter({ hasText: "Buy bread" }).waitFor();

    const tick = js ? list.locator("[type=checkbox]") : list.locator('form[data-form="complete"] button');
    await tabTo(page, tick);
    await act(() => page.keyboard.press("Space"));
    await page.locator(".list > li:has(:checked)").waitFor();

    await tabTo(page, list.locator("a").first());
    if (js) await page.keyboard.press("Enter");
    else await answered(page, () => page.keyboard.press("Enter"), "task");
    await type(page, 'form[data-form="edit"] [name="title"]', "Buy rye bread");
    await act(() => page.keyboard.press("Enter"));
    await list.filter({ hasText: "Buy rye bread" }).waitFor();

    await tabTo(page, page.locator('.filter [data-filter="done"]'));
    await act(() => page.keyboard.press("Enter"));
    await page.locator('.filter [data-filter="done"][aria-current]').waitFor();

    await tabTo(page, list.locator("summary"));
    await page.keyboard.press("Enter");
    await tabTo(page, submitOf(list.locator('form[data-form="delete"]')));
    await act(() => page.keyboard.press("Enter"));
    await until("the list is empty", async () => (await page.locator(".list > li:visible").count()) === 0);

    await press(page, submitOf(page.locator('header form[data-form="logout"]')), "Enter", "login");
    await type(page, "#email", email);
    await type(page, "#password", "a wrong password");
    await answered(page, () => page.keyboard.press("Enter"), "login");
    await said(page, "alert");
    if (js) {
      const where = await page.evaluate(() => {
        const { activeElement: element } = document;
        return element.matches("[role=alert], [aria-invalid=true]") || element.outerHTML.slice(0, 100);
      });
      assert.equal(where, true, "the focus is not at what went wrong");
    }
    await type(page, "#password", `${PASSWORD} again`);
    await answered(page, () => page.keyboard.press("Enter"));
    await inside(page);

    await press(page, nav(page, "/account"), "Enter", "account");
    await tabTo(page, page.locator("#delete summary"));
    await page.keyboard.press("Enter");
    await type(page, "#delete-password", `${PASSWORD} again`);
    await answered(page, () => page.keyboard.press("Enter"));
    await page.goto(at("/account"));
    await on(page, "login");
  }, { seconds: 120 });
}

check("the first stop leads past the header", async (stage) => {
  const context = await stage.context();
  await giveSession(context, await account());
  const page = await context.newPage();
  await page.goto(at("/account"));
  await page.keyboard.press("Tab");
  const skip = page.locator("a.skip");
  assert.ok(await skip.evaluate((link) => link === document.activeElement));
  const box = await skip.boundingBox();
  assert.ok(box.x >= 0 && box.y >= 0 && box.width > 20 && box.height > 10, "it is not seen");
  await page.keyboard.press("Enter");
  await until("main has the focus", () => page.evaluate(() => document.activeElement.id === "main"));
});

check("after a form was sent, the focus is where it goes on", async (stage) => {
  const page = await stage.open();
  const user = await account();
  await logIn(page, user);
  await page.goto(at("/account"));
  await type(page, "#profile-name", "Grace");
  await answered(page, () => page.keyboard.press("Enter"), "account");
  const lost = await page.evaluate(() => document.activeElement === document.body);
  assert.ok(!lost, "the focus fell out of the page");
});

/** Runs in the page: whether the element with the focus looks any different for it. Nothing where the round is over. */
function focusSeen() {
  const element = document.activeElement;
  window.stops ??= new Set();
  if (!element || element === document.body || window.stops.has(element)) return null;
  window.stops.add(element);
  const look = (node) => {
    const { outlineStyle, outlineWidth, outlineColor, boxShadow } = getComputedStyle(node);
    const isOutlined = outlineStyle !== "none" && parseFloat(outlineWidth) > 0;
    return `${isOutlined ? `${outlineStyle} ${outlineWidth} ${outlineColor}` : "none"} | ${boxShadow}`;
  };
  const settle = () => document.getAnimations().forEach((animation) => animation.finish());
  // A hidden checkbox or a field in a frame is seen by what stands for it.
  const around = [element, element.parentElement, element.nextElementSibling, element.closest("label"), ...(element.labels ?? [])];
  const nodes = [...new Set(around)].filter(Boolean);
  settle();
  const focused = nodes.map(look);
  const box = element.getBoundingClientRect();
  const isInView = box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
  element.blur();
  settle();
  const plain = nodes.map(look);
  element.focus({ preventScroll: true });
  const what = element.outerHTML.slice(0, 120);
  if (focused.every((style, n) => style === plain[n])) return { fault: `the focus is not seen on ${what}` };
  if (!isInView) return { fault: `the focus is out of view on ${what}` };
  return { fault: null };
}

/** Runs in the page: what reaches beyond its right edge. */
function tooWide() {
  const { scrollWidth, clientWidth } = document.documentElement;
  const faults = [];
  if (scrollWidth > clientWidth) faults.push(`${scrollWidth} px wide instead of ${clientWidth}`);
  for (const element of document.querySelectorAll("body *")) {
    const { right, width, height } = element.getBoundingClientRect();
    if (width <= 1 || height <= 1 || right <= clientWidth + 1) continue;
    let scroller = element.parentElement;
    while (scroller && getComputedStyle(scroller).overflowX === "visible") scroller = scroller.parentElement;
    if (scroller && scroller !== document.documentElement && scroller !== document.body) continue;
    faults.push(`${element.outerHTML.slice(0, 80)} reaches to ${Math.round(right)} px`);
  }
  return faults.slice(0, 5);
}

// ---- Every page, in every state ----

const axe = violations;

/** Goes once around the page with the keyboard. */
async function focus(page) {
  const faults = [];
  for (let n = 0; n < 200; n++) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(focusSeen);
    if (!stop) break;
    if (stop.fault) faults.push(stop.fault);
  }
  return faults;
}

const wide = (page) => page.evaluate(tooWide);

const large = { width: 1280, height: 800 };
const small = { width: 320, height: 640 };
// What is left of 1280 px.
const zoomed = { width: 640, height: 400, scale: 2 };
const huge = { width: 320, height: 256, scale: 4 };

const walks = [
  ["light, 1280 px", { scheme: "light", ...large }, [axe, focus]],
  ["dark, 320 px", { scheme: "dark", ...small }, [axe, focus, wide]],
  ["200 %", zoomed, [wide]],
  ["320 px, without scripts", { js: false, ...small }, [wide]],
];
// THOROUGH=1 takes minutes more and finds what the others find, as a rule.
if (process.env.THOROUGH) {
  walks.push(
    ["light, 320 px", { scheme: "light", ...small }, [axe, focus, wide]],
    ["dark, 1280 px", { scheme: "dark", ...large }, [axe, focus]],
    ["200 %, without scripts", { js: false, ...zoomed }, [wide]],
    ["400 %", huge, [wide]],
    ["400 %, without scripts", { js: false, ...huge }, [wide]],
  );
}
for (const [what, options, looks] of walks) {
  check(`everybody can use every page, ${what}`, async (stage) => {
    const given = await world({ long: looks.includes(wide) });
    await walk(stage, options, given, async (page, { name }) => {
      for (const look of looks) {
        for (const fault of await look(page)) stage.fault(`${name}: ${fault}`);
      }
    });
  }, { seconds: 300 });
}

await run();
