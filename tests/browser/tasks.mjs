// The task list, with and without scripts.
//
// Needs a fresh service with open registration and the task list. DOORWARD_URL, DOORWARD_MAIL, CHROMIUM, CHECK: see
// harness.mjs.

import assert from "node:assert/strict";
import {
  account, answered, api, at, check, fill, form, giveSession, inside, isInside, on, pathOf, raw, run, said,
  send, submitOf, until,
} from "./harness.mjs";

const TASKS = "/api/users/me/tasks";

/** The task page of a user who has these tasks, added in this order. */
async function member(stage, options, titles = []) {
  const context = await stage.context(options);
  const user = await account();
  await giveSession(context, user);
  const tasks = [];
  for (const title of titles) tasks.push(await add(user, title));
  const page = await context.newPage();
  await page.goto(at("/tasks"));
  await on(page, "tasks");
  if (options.js !== false) await page.locator("[data-tasks].live").waitFor();
  return { page, user, tasks };
}

const add = (user, title, description) => api("POST", TASKS, { token: user.token, json: { title, description } });
const stored = async (user) => (await api("GET", `${TASKS}?limit=100`, { token: user.token })).tasks;
const task = async (user, id) => (await stored(user)).find((task) => task.id === id);

const rows = (page) => page.locator("[data-tasks] .list > li:visible");
const titles = (page) => rows(page).locator("label [data-title]").allInnerTexts();
const row = (page, title) => rows(page).filter({ has: page.getByText(title, { exact: true }) }).first();

const isDone = (page, title) => row(page, title).locator("[type=checkbox]").isChecked();

const shows = (page, ...expected) => until(`the list shows ${expected.join(", ") || "nothing"}`, async () => {
  const found = await titles(page);
  if (JSON.stringify(found) === JSON.stringify(expected)) return true;
  throw new Error(`it shows ${found.join(", ") || "nothing"}`);
});

/** Answers the requests to the tasks' API that `decide` picks as it says: "lose", or a promise to wait for. */
async function meddle(page, decide) {
  await page.route("**/api/users/**", async (route) => {
    const verdict = decide(route.request());
    if (verdict === "lose") return route.abort("connectionreset");
    if (verdict) await verdict;
    return route.continue();
  });
}

const held = () => {
  let release;
  const promise = new Promise((resolve) => (release = resolve));
  return { promise, release };
};

for (const js of [true, false]) {
  const both = (name, act) => check(`${name}, ${js ? "with" : "without"} scripts`, (stage) => act(stage, { js }));
  /** A form of the list is answered by a page without scripts, and by the row itself with them. */
  const act = (page, click) => (js ? click() : answered(page, click, "tasks"));

  both("tasks are added, newest first", async (stage, options) => {
    const { page, user } = await member(stage, options);
    assert.equal(await page.locator("[data-tasks] .empty:visible").count(), 1);
    for (const title of ["Buy bread", "Call Grace"]) {
      await fill(page, "create", { title });
      await act(page, () => submitOf(form(page, "create")).click());
      await row(page, title).waitFor();
    }
    await shows(page, "Call Grace", "Buy bread");
    assert.equal(await page.locator("#title").inputValue(), "");
    await page.locator('form[data-form="create"] summary').click();
    await fill(page, "create", { title: "With more", description: "First line\nsecond line" });
    await act(page, () => submitOf(form(page, "create")).click());
    await row(page, "With more").getByText("second line").waitFor();
    await until("it is stored", async () => (await stored(user))[0].description?.replace("\r", "") === "First line\nsecond line");
    await page.reload();
    await shows(page, "With more", "Call Grace", "Buy bread");
  });

  both("a task is marked as done and as open again", async (stage, options) => {
    const { page, user, tasks: [bread] } = await member(stage, options, ["Buy bread"]);
    const tick = () => js
      ? row(page, "Buy bread").locator("label").click()
      : row(page, "Buy bread").locator('form[data-form="complete"] button').click();
    for (const completed of [true, false]) {
      await act(page, tick);
      await until(`completed is ${completed}`, async () => (await task(user, bread.id)).completed === completed);
      await until("the row says so", async () => (await isDone(page, "Buy bread")) === completed);
    }
  });

  both("a task is deleted, in two steps", async (stage, options) => {
    const { page, user } = await member(stage, options, ["Buy bread", "Call Grace"]);
    const details = row(page, "Buy bread").locator("details");
    await details.locator("summary").click();
    await act(page, () => submitOf(details.locator("form")).click());
    await shows(page, "Call Grace");
    await until("it is gone", async () => (await stored(user)).length === 1);
    await page.reload();
    await shows(page, "Call Grace");
  });

  both("the list is filtered, and a reload keeps the filter", async (stage, options) => {
    const { page, user, tasks } = await member(stage, options, ["One", "Two", "Three"]);
    await api("PATCH", `${TASKS}/${tasks[1].id}/complete`, { token: user.token, json: { completed: true } });
    await page.reload();
    await shows(page, "Three", "Two", "One");
    const choose = async (filter) => {
      const link = page.locator(`.filter a[data-filter="${filter}"]`);
      await (js ? link.click() : answered(page, () => link.click(), "tasks"));
      await page.locator(`.filter a[data-filter="${filter}"][aria-current]`).waitFor();
    };
    await choose("done");
    await shows(page, "Two");
    await page.reload();
    await shows(page, "Two");
    await choose("open");
    await shows(page, "Three", "One");
    await choose("all");
    await shows(page, "Three", "Two", "One");
  });

  both("another user's task is not found, and neither is one that does not exist", async (stage, options) => {
    const { page, user, tasks: [own] } = await member(stage, options, ["Mine"]);
    const other = await account();
    const theirs = await add(other, "Nobody else's");
    const told = [];
    for (const id of [theirs.id, "0190a6e0-0000-7000-8000-000000000000", "nonsense"]) {
      const response = await page.goto(at(`/tasks/${id}`));
      assert.equal(response.status(), 404);
      await on(page, "error");
      const text = await page.locator("main").innerText();
      told.push(text.replace(response.headers()["x-request-id"], "NUMBER").replaceAll(id, "ID"));
      assert.ok(!text.includes("Nobody else's"));
    }
    assert.equal(told[0], told[1]);
    // Nor can it be written to by the forms.
    const cookie = (await page.context().cookies()).map(({ name, value }) => `${name}=${value}`).join("; ");
    const headers = { cookie, origin: new URL(at("/")).origin, accept: "text/html" };
    for (const path of ["", "/complete", "/delete"]) {
      const fields = { version: "1", title: "Taken", description: "", completed: "true" };
      const answer = await raw("POST", `/tasks/${theirs.id}${path}`, { form: fields, headers });
      assert.equal(answer.status, 404, `POST ${path}`);
    }
    const kept = await task(other, theirs.id);
    assert.deepEqual([kept.title, kept.version, kept.completed], [theirs.title, theirs.version, false]);
    assert.equal((await task(user, own.id)).title, "Mine");
  });

  both("a visitor is sent to log in and comes back to the task", async (stage, options) => {
    const user = await account();
    const { id } = await add(user, "Behind the door");
    const page = await stage.open(options);
    await page.goto(at(`/tasks/${id}`));
    await on(page, "login");
    assert.ok(!(await isInside(page)));
    await send(page, "login", { email: user.email, password: user.password }, "task");
    assert.equal(pathOf(page.url()), `/tasks/${id}`);
    assert.equal(await page.locator("#title").inputValue(), "Behind the door");
  });

  both("a task's own page edits it", async (stage, options) => {
    const { page, user, tasks: [bread] } = await member(stage, options, ["Buy bread"]);
    await page.goto(at(`/tasks/${bread.id}`));
    await send(page, "edit", { title: "Buy rye bread", description: "\nTwo loaves" }, "tasks");
    await shows(page, "Buy rye bread");
    const saved = await task(user, bread.id);
    assert.equal(saved.title, "Buy rye bread");
    assert.equal(saved.description.replaceAll("\r", ""), "\nTwo loaves");
  });

  both("a task's own page explains that it was changed elsewhere", async (stage, options) => {
    const { page, user, tasks: [bread] } = await member(stage, options, ["Buy bread"]);
    await page.goto(at(`/tasks/${bread.id}`));
    await api("PUT", `${TASKS}/${bread.id}`, { token: user.token, json: { title: "Buy flour" } });
    await send(page, "edit", { title: "Buy rye bread" }, "task");
    const conflict = page.locator(".conflict");
    await conflict.waitFor();
    assert.ok((await conflict.innerText()).includes("Buy flour"), "it does not say what is there now");
    assert.equal(await page.locator("#title").inputValue(), "Buy rye bread");
    assert.equal((await task(user, bread.id)).title, "Buy flour", "it was saved over");
    await send(page, "edit", {}, "tasks");
    assert.equal((await task(user, bread.id)).title, "Buy rye bread");
  });

  both("what is wrong with a task stands at its field, and what was typed stays", async (stage, options) => {
    const { page, user } = await member(stage, options);
    const long = "t".repeat(201);
    await fill(page, "create", { title: long });
    await act(page, () => submitOf(form(page, "create")).click());
    await errorWithin(page, form(page, "create"), "title");
    assert.equal(await page.locator("#title").inputValue(), long);
    assert.deepEqual(await stored(user), []);
  });

  both("markup in a task shows as text", async (stage, options) => {
    const markup = '<img src=x onerror="window.pwned=1">{{ 7 * 7 }}';
    const { page, tasks: [hostile] } = await member(stage, options, [markup]);
    await shows(page, markup);
    await page.goto(at(`/tasks/${hostile.id}`));
    assert.equal(await page.locator("#title").inputValue(), markup);
    assert.equal(await page.evaluate(() => window.pwned), undefined);
  });
}

/** The error of a field of a form of the list, seen and told. */
async function errorWithin(page, within, name) {
  const field = within.locator(`[name="${name}"]`);
  await until(`${name} is marked`, async () => (await field.getAttribute("aria-invalid")) === "true");
  const ids = (await field.getAttribute("aria-describedby")).split(/\s+/);
  const texts = await Promise.all(ids.map((id) => page.locator(`[id="${id}"]`).innerText()));
  assert.ok(texts.join("").trim() !== "", `nothing is said about ${name}`);
}

check("a task is edited in its row", async (stage) => {
  const { page, user, tasks: [bread] } = await member(stage, {}, ["Buy bread"]);
  await row(page, "Buy bread").locator('[data-act="edit"]').click();
  const edit = page.locator('form[data-form="edit"]');
  await edit.locator('[name="title"]').fill("Buy rye bread");
  await edit.locator('[name="title"]').press("Enter");
  await shows(page, "Buy rye bread");
  await until("it is stored", async () => (await task(user, bread.id)).title === "Buy rye bread");
  await row(page, "Buy rye bread").locator('[data-act="edit"]').click();
  await edit.locator('[name="title"]').fill("Never mind");
  await edit.locator('[name="title"]').press("Escape");
  await shows(page, "Buy rye bread");
  await page.reload();
  await shows(page, "Buy rye bread");
});

check("130 tasks are shown by scrolling, each once", async (stage) => {
  const context = await stage.context();
  const user = await account();
  await giveSession(context, user);
  for (let n = 1; n <= 130; n++) await add(user, `Task ${n}`);
  const expected = Array.from({ length: 130 }, (_, n) => `Task ${130 - n}`);

  const page = await context.newPage();
  await page.goto(at("/tasks"));
  await page.locator("[data-tasks].live").waitFor();
  assert.ok((await rows(page).count()) < 130, "all are there from the beginning");
  await until("all are there", async () => {
    await page.mouse.wheel(0, 2000);
    return (await rows(page).count()) >= 130;
  }, 20_000);
  assert.deepEqual(await titles(page), expected);
  assert.ok(!(await page.locator(".more").isVisible()));
}, { seconds: 120 });

check("without scripts, 130 tasks are shown page by page, each once", async (stage) => {
  const context = await stage.context({ js: false });
  const user = await account();
  await giveSession(context, user);
  for (let n = 1; n <= 130; n++) await add(user, `Task ${n}`);
  const page = await context.newPage();
  await page.goto(at("/tasks"));
  const seen = await titles(page);
  while (await page.locator(".more").isVisible()) {
    await answered(page, () => page.locator(".more").click(), "tasks");
    seen.push(...(await titles(page)));
  }
  assert.deepEqual(seen, Array.from({ length: 130 }, (_, n) => `Task ${130 - n}`));
}, { seconds: 120 });

check("what is done shows before the service has answered", async (stage) => {
  const { page, user, tasks: [bread] } = await member(stage, {}, ["Buy bread", "Call Grace"]);
  const { promise, release } = held();
  await meddle(page, (request) => request.method() !== "GET" && promise);
  await fill(page, "create", { title: "At once" });
  await submitOf(form(page, "create")).click();
  await shows(page, "At once", "Call Grace", "Buy bread");
  await row(page, "Buy bread").locator("label").click();
  await until("it is ticked", () => isDone(page, "Buy bread"));
  const details = row(page, "Call Grace").locator("details");
  await details.locator("summary").click();
  await submitOf(details.locator("form")).click();
  await shows(page, "At once", "Buy bread");
  assert.equal((await stored(user)).length, 2);
  assert.equal((await task(user, bread.id)).completed, false);
  release();
  await until("all of it is stored", async () => {
    const tasks = await stored(user);
    return tasks.map(({ title }) => title).join() === "At once,Buy bread" && tasks[1].completed;
  });
  await shows(page, "At once", "Buy bread");
});

check("what cannot be saved is taken back, told, and not lost", async (stage) => {
  const { page, user } = await member(stage, { lossy: true }, ["Buy bread", "Call Grace"]);
  await meddle(page, (request) => request.method() !== "GET" && "lose");

  await fill(page, "create", { title: "Lost on its way" });
  await submitOf(form(page, "create")).click();
  await until("what was typed is back", async () => (await page.locator("#title").inputValue()) === "Lost on its way");
  await shows(page, "Call Grace", "Buy bread");
  assert.ok((await said(page, "status")).includes("Lost on its way"));
  await page.locator("#title").fill("");

  await row(page, "Buy bread").locator("label").click();
  await until("it is told", async () => (await said(page, "status")).includes("Buy bread"));
  await until("the tick is taken back", async () => !(await isDone(page, "Buy bread")));

  const details = row(page, "Call Grace").locator("details");
  await details.locator("summary").click();
  await submitOf(details.locator("form")).click();
  await until("it is told", async () => (await said(page, "status")).includes("Call Grace"));
  await shows(page, "Call Grace", "Buy bread");

  await row(page, "Buy bread").locator('[data-act="edit"]').click();
  const edit = page.locator('form[data-form="edit"]');
  await edit.locator('[name="title"]').fill("Buy rye bread");
  await submitOf(edit).click();
  await until("it is told", async () => (await said(page, "status")).includes("Buy rye bread"));
  await until("what was typed is back in a form", async () => (await edit.locator('[name="title"]').inputValue()) === "Buy rye bread");

  await page.unroute("**/api/users/**");
  await submitOf(edit).click();
  await shows(page, "Call Grace", "Buy rye bread");
  await until("it is stored", async () => (await stored(user)).some(({ title }) => title === "Buy rye bread"));
}, { seconds: 90 });

for (const [side, expected] of [["overwrite", "Buy rye bread"], ["yield", "Buy flour"]]) {
  check(`a change of what was changed elsewhere is explained, and the choice to ${side} is kept to`, async (stage) => {
    const { page, user, tasks: [bread] } = await member(stage, {}, ["Buy bread"]);
    await api("PUT", `${TASKS}/${bread.id}`, { token: user.token, json: { title: "Buy flour" } });
    await row(page, "Buy bread").locator('[data-act="edit"]').click();
    const edit = page.locator('form[data-form="edit"]');
    await edit.locator('[name="title"]').fill("Buy rye bread");
    await submitOf(edit).click();
    const conflict = page.locator(".list .conflict");
    await conflict.waitFor();
    const text = await conflict.innerText();
    assert.ok(text.includes("Buy flour") && text.includes("Buy rye bread"), text);
    assert.equal((await task(user, bread.id)).title, "Buy flour", "it was saved over");
    await conflict.locator(`[data-act="${side}"]`).click();
    await conflict.waitFor({ state: "detached" });
    await shows(page, expected);
    await until("it is stored", async () => (await task(user, bread.id)).title === expected);
    await page.reload();
    await shows(page, expected);
  });
}

check("a tick on what was changed elsewhere is explained as well", async (stage) => {
  const { page, user, tasks: [bread] } = await member(stage, {}, ["Buy bread"]);
  await api("PUT", `${TASKS}/${bread.id}`, { token: user.token, json: { title: "Buy flour" } });
  await row(page, "Buy bread").locator("label").click();
  await page.locator(".list .conflict").waitFor();
  assert.equal((await task(user, bread.id)).completed, false);
});

check("a task that was deleted elsewhere goes, and that is told", async (stage) => {
  const { page, user, tasks: [bread] } = await member(stage, {}, ["Buy bread", "Call Grace"]);
  await api("DELETE", `${TASKS}/${bread.id}`, { token: user.token });
  await row(page, "Buy bread").locator("label").click();
  await shows(page, "Call Grace");
  assert.ok((await said(page, "status")).includes("Buy bread"));
});

check("many changes of one task in a row all arrive, in their order", async (stage) => {
  const { page, user, tasks: [bread] } = await member(stage, {}, ["Buy bread"]);
  const label = row(page, "Buy bread").locator("label");
  for (let n = 0; n < 7; n++) await label.click();
  await until("the last one is stored", async () => {
    const { completed, version } = await task(user, bread.id);
    return completed && version === bread.version + 7;
  });
  assert.equal(await page.locator(".list .conflict").count(), 0);
});

check("the task list lives on after it was swapped in", async (stage) => {
  const user = await account();
  const page = await stage.open();
  await page.goto(at(`/login?next=${encodeURIComponent(new URL(at("/tasks")).pathname)}`));
  await send(page, "login", { email: user.email, password: user.password }, "tasks");
  await inside(page);
  await page.locator("[data-tasks].live").waitFor();
  await fill(page, "create", { title: "Swapped in" });
  await submitOf(form(page, "create")).click();
  await shows(page, "Swapped in");
  await until("it is stored, and once", async () => (await stored(user)).length === 1);
  await page.reload();
  await shows(page, "Swapped in");
});

await run();
