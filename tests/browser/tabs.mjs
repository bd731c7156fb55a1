// Sessions over several tabs: refreshing at once, lost answers, the end of a session, and what is left of it.
//
// Needs a fresh service with open registration. DOORWARD_URL, DOORWARD_MAIL, CHROMIUM, CHECK: see harness.mjs.

import assert from "node:assert/strict";
import {
  PASSWORD, account, answered, at, check, form, giveSession, inside, isInside, logIn, logOut, on, origin, raw, run,
  someone, submitOf, textOf, until,
} from "./harness.mjs";

const REFRESH = "/api/auth/refresh";

/** A context with a session, and as many tabs of it. */
async function tabs(stage, count, options) {
  const context = await stage.context(options);
  const user = await account({ name: "Ada of Tab Street" });
  await giveSession(context, user);
  const pages = [];
  for (let n = 0; n < count; n++) pages.push(await context.newPage());
  await Promise.all(pages.map(async (page) => (await page.goto(at("/account")), on(page, "account"))));
  return { context, user, pages };
}

/** Makes a client in a page, as an application would. */
const withClient = (page) => page.evaluate(async ([base, module]) => {
  const { createClient } = await import(module);
  window.client = createClient({ baseUrl: base });
  window.changes = [];
  window.client.onChange((user) => window.changes.push(user && user.id));
  return (await window.client.user())?.id ?? null;
}, [at(""), at("/assets/doorward.js")]);

const refresh = (page) => page.evaluate(async () => (await window.client.refresh())?.id ?? null);
const whoAmI = (page) => page.evaluate(async (url) => (await window.client.fetch(url)).status, at("/api/auth/me"));

/** Collects when each refresh of a context was on its way. */
function refreshes(context) {
  const found = [];
  context.on("request", (request) => {
    if (request.url() === at(REFRESH)) found.push(request);
  });
  return {
    get count() {
      return found.length;
    },
    overlap() {
      const spans = found
        .map((request) => request.timing())
        .filter(({ requestStart, responseEnd }) => requestStart >= 0 && responseEnd >= 0)
        .map(({ startTime, requestStart, responseEnd }) => [startTime + requestStart, startTime + responseEnd])
        .sort(([a], [b]) => a - b);
      // The browser's processes agree on the time to a millisecond or so.
      return spans.some(([start], n) => n > 0 && start + 2 < spans[n - 1][1]);
    },
  };
}

for (const count of [2, 10]) {
  check(`${count} tabs that refresh at once stay logged in, one refresh at a time`, async (stage) => {
    const { context, user, pages } = await tabs(stage, count);
    const seen = refreshes(context);
    for (const id of await Promise.all(pages.map(withClient))) assert.equal(id, user.id);
    for (let round = 0; round < 3; round++) {
      for (const id of await Promise.all(pages.map(refresh))) assert.equal(id, user.id);
    }
    for (const status of await Promise.all(pages.map(whoAmI))) assert.equal(status, 200);
    assert.ok(seen.count > 0);
    assert.ok(seen.count <= 5 * count, `${seen.count} refreshes`);
    assert.ok(!seen.overlap(), "two tabs refreshed at the same time");
    await Promise.all(pages.map(async (page) => (await page.reload(), on(page, "account"))));
  });

  check(`${count} tabs without Web Locks stay logged in`, async (stage) => {
    const { context, user, pages } = await tabs(stage, count);
    await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "locks", { value: undefined }));
    await Promise.all(pages.map(async (page) => (await page.reload(), on(page, "account"))));
    assert.equal(await pages[0].evaluate(() => navigator.locks), undefined);
    for (const id of await Promise.all(pages.map(withClient))) assert.equal(id, user.id);
    for (let round = 0; round < 3; round++) {
      for (const id of await Promise.all(pages.map(refresh))) assert.equal(id, user.id);
    }
    for (const status of await Promise.all(pages.map(whoAmI))) assert.equal(status, 200);
    await Promise.all(pages.map(async (page) => (await page.reload(), on(page, "account"))));
  });

  check(`${count} tabs that ask without any client, all at the same time, stay logged in`, async (stage) => {
    const { pages } = await tabs(stage, count);
    const ask = (page) => page.evaluate(async (url) => (await fetch(url, { method: "POST" })).status, at(REFRESH));
    for (let round = 0; round < 3; round++) {
      for (const status of await Promise.all(pages.map(ask))) assert.equal(status, 200);
    }
    await Promise.all(pages.map(async (page) => (await page.reload(), on(page, "account"))));
  });

  check(`${count} tabs that are loaded while others refresh stay logged in`, async (stage) => {
    const { pages } = await tabs(stage, count);
    await Promise.all(pages.map(withClient));
    await Promise.all(pages.map(async (page, n) => {
      if (n % 2) return refresh(page);
      await page.reload();
      return on(page, "account");
    }));
    await Promise.all(pages.map(async (page) => (await page.reload(), on(page, "account"))));
  });
}

check("a reload keeps the session, and so does a new tab", async (stage) => {
  const { context, user, pages: [page] } = await tabs(stage, 1);
  for (let n = 0; n < 5; n++) {
    await page.reload();
    await on(page, "account");
  }
  assert.equal(await withClient(page), user.id);
  const other = await context.newPage();
  await other.goto(at("/account"));
  await on(other, "account");
  assert.equal(await withClient(other), user.id);
});

/** Lets the service answer a page's next requests to a path, and the answers get lost on the way back. */
async function lose(page, path, times) {
  let lost = 0;
  await page.route(at(path), async (route) => {
    if (lost === times) return route.continue();
    lost += 1;
    // Asked from here, so that the browser sees nothing of the answer, the new cookie included.
    const cookies = await page.context().cookies();
    const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join("; ");
    const request = route.request();
    const type = (await request.allHeaders())["content-type"];
    const answer = await raw(request.method(), path, {
      headers: { cookie, origin, ...(type && { "content-type": type }) },
      body: request.postData() ?? undefined,
    });
    assert.equal(answer.status, 200, answer.text);
    return route.abort("connectionreset");
  });
  return () => lost;
}

for (const times of [1, 2]) {
  check(`a refresh whose answer is lost ${times === 1 ? "once" : "twice"} is tried again`, async (stage) => {
    const { context, user, pages: [page] } = await tabs(stage, 1, { lossy: true });
    assert.equal(await withClient(page), user.id);
    const before = (await context.cookies())[0].value;
    const lost = await lose(page, REFRESH, times);
    assert.equal(await refresh(page), user.id);
    assert.equal(lost(), times);
    assert.notEqual((await context.cookies())[0].value, before);
    assert.equal(await whoAmI(page), 200);
    assert.deepEqual((await page.evaluate(() => window.changes)).filter((id) => id !== user.id), []);
    assert.equal(await refresh(page), user.id);
    await page.reload();
    await on(page, "account");
  });
}

check("a refresh that never gets through does not end the session", async (stage) => {
  const { user, pages: [page] } = await tabs(stage, 1, { lossy: true });
  assert.equal(await withClient(page), user.id);
  await page.route(at(REFRESH), (route) => route.abort("connectionreset"));
  const error = await page.evaluate(() => window.client.refresh().then(() => null, (error) => error.name));
  assert.ok(error, "it did not say so");
  assert.deepEqual((await page.evaluate(() => window.changes)).filter((id) => id === null), []);
  await page.unroute(at(REFRESH));
  assert.equal(await refresh(page), user.id);
}, { seconds: 120 });

check("signing out in one tab ends all, wherever they are", async (stage) => {
  const { context, pages } = await tabs(stage, 3);
  await withClient(pages[1]);
  await logOut(pages[0]);
  for (const page of pages.slice(1)) {
    await on(page, "login");
    await until("nothing of the user is left", async () => !(await textOf(page)).includes("@example.com"));
  }
  assert.equal((await context.cookies()).length, 0);
});

check("signing out by the client ends the tabs that show pages", async (stage) => {
  const { pages: [page, other] } = await tabs(stage, 2);
  await withClient(page);
  await page.evaluate(() => void window.client.logOut());
  await on(other, "login");
});

check("without scripts, signing out ends every tab with its next step", async (stage) => {
  const { pages: [page, other] } = await tabs(stage, 2, { js: false });
  await logOut(page);
  await other.reload();
  await on(other, "login");
});

check("a session that was ended elsewhere ends in the tab that finds out", async (stage) => {
  const { user, pages: [page, other] } = await tabs(stage, 2);
  await withClient(page);
  await raw("POST", "/api/auth/logout-all", { headers: { authorization: `Bearer ${user.token}` } });
  // The page leaves as soon as it knows, and the answer may come too late for it.
  assert.equal(await refresh(page).catch(() => null), null);
  await on(page, "login");
  await on(other, "login");
});

for (const js of [true, false]) {
  for (const bfcache of [false, true]) {
    const how = `${js ? "with" : "without"} scripts, ${bfcache ? "with" : "without"} the back/forward cache`;
    check(`back after signing out shows nothing private, ${how}`, async (stage) => {
      const context = await stage.context({ js, bfcache });
      const user = await account({ name: "Ada of Tab Street" });
      const page = await context.newPage();
      await logIn(page, user, `/login?next=${encodeURIComponent(new URL(at("/account")).pathname)}`);
      await on(page, "account");
      // A page that was left may be kept whole; one that is shown is swapped.
      await page.goto(at("/forgot-password"));
      await page.goto(at("/account"));
      await on(page, "account");
      await page.goto(at("/logout"));
      await answered(page, () => submitOf(form(page, "logout")).click(), "login");

      for (const [steps, name] of [[-1, "back"], [-1, "back"], [-1, "back"], [2, "forward"]]) {
        const from = page.url();
        await move(page, steps);
        await until(`${name} has led somewhere quiet`, async () => {
          const html = await page.content();
          const isPrivate = html.includes(user.email) || html.includes("Ada of Tab Street") || html.includes("data-user");
          return !isPrivate && (await page.locator("body[data-page]").count()) > 0;
        });
        assert.ok(!(await isInside(page)), `${name} from ${from} shows a user's page`);
      }
    });
  }
}

/** Goes through the history; a page out of the back/forward cache is never loaded, so nothing waits for that. */
async function move(page, steps) {
  const session = await page.context().newCDPSession(page);
  const { currentIndex, entries } = await session.send("Page.getNavigationHistory");
  const entry = entries[currentIndex + steps];
  if (entry) await session.send("Page.navigateToHistoryEntry", { entryId: entry.id });
  await session.detach().catch(() => {});
}

check("no token is in storage, in the HTML, in the URL or in reach of a script", async (stage) => {
  const context = await stage.context();
  const page = await context.newPage();
  const { email } = await account();
  const secrets = new Set();
  const reading = [];
  page.on("response", (response) => {
    if (!response.url().startsWith(at("/api/auth/"))) return;
    reading.push(response.json().then((grant) => grant.access_token && secrets.add(grant.access_token)).catch(() => {}));
  });
  await logIn(page, { email, password: PASSWORD });
  for (const path of ["/account", "/tasks", "/account"]) {
    await page.goto(at(path));
    assert.ok(await withClient(page));
    await refresh(page);
    for (const { value } of await context.cookies()) secrets.add(value);
    await Promise.all(reading);
    const places = await page.evaluate(async () => ({
      local: JSON.stringify({ ...localStorage }),
      session: JSON.stringify({ ...sessionStorage }),
      cookie: document.cookie,
      html: document.documentElement.outerHTML,
      url: location.href,
      history: JSON.stringify(history.state),
      name: window.name,
      databases: JSON.stringify(await indexedDB.databases()),
      caches: JSON.stringify(await caches.keys()),
    }));
    assert.equal(places.cookie, "", "a script can read a cookie");
    for (const [place, text] of Object.entries(places)) {
      for (const secret of secrets) assert.ok(!text.includes(secret), `a token is in ${place} of ${path}`);
      assert.ok(!/dwr_|eyJ[\w-]{8,}\./.test(text), `something like a token is in ${place} of ${path}`);
    }
  }
  assert.ok(secrets.size >= 4, "the tokens were not seen");
});

check("the access token goes to the service alone", async (stage) => {
  const { pages: [page] } = await tabs(stage, 1);
  await withClient(page);
  const refused = await page.evaluate(async () => {
    try {
      await window.client.fetch("https://elsewhere.example/api/auth/me");
      return "sent";
    } catch (error) {
      return error.name;
    }
  });
  assert.equal(refused, "TypeError");
});

check("a log-in in one tab lets in another that shows the log-in", async (stage) => {
  const context = await stage.context();
  const user = await account({ email: someone("late") });
  const [page, other] = [await context.newPage(), await context.newPage()];
  await page.goto(at("/login"));
  await logIn(other, user);
  await inside(page);
});

check("an error on the way back from a form ends no session", async (stage) => {
  const { context, pages: [page, other] } = await tabs(stage, 2, { lossy: true });
  // A page for an error that was made without looking who asks.
  const { text } = await raw("GET", "/assets/nothing", { headers: { accept: "text/html" } });
  assert.ok(text.includes('data-page="error"') && !text.includes("data-user"));
  await page.route("**/account/profile", (route) => route.fulfill({ status: 303, headers: { location: at("/assets/nothing") } }));
  await form(page, "profile").locator('[name="name"]').fill("Grace");
  await submitOf(form(page, "profile")).click();
  await page.locator('[role="alert"], body[data-page="error"]').first().waitFor();
  assert.equal((await context.cookies()).length, 1, "the cookie is gone");
  await page.unroute("**/account/profile");
  for (const tab of [page, other]) {
    await tab.goto(at("/account"));
    await on(tab, "account");
  }
});

await run();
