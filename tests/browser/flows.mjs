// Every flow from end to end, with and without scripts.
//
// Needs a fresh service with open registration. DOORWARD_URL, DOORWARD_MAIL, CHROMIUM, CHECK: see harness.mjs.

import assert from "node:assert/strict";
import {
  PASSWORD, account, answered, api, at, check, errorAt, fill, form, giveSession, inside, isInside, isTold, logIn,
  logOut, mailedLink, mails, noPasswordIn, on, pathOf, raw, register, run, said, send, sessionCookie,
  someone, submitOf, textOf, until,
} from "./harness.mjs";

const OTHER_PASSWORD = "a louder harbour at dawn";

/** Opens a mailed link and presses the button of its page; the token is gone from the URL then. */
async function follow(page, link, fields = {}) {
  await page.goto(link);
  await on(page, "confirm");
  await send(page, "confirm", fields);
  assert.ok(!page.url().includes("token="), `the token is still in the URL ${page.url()}`);
}

/** Tries to log in, which has to be refused. */
async function isRefused(page, email, password) {
  await page.goto(at("/login"));
  await send(page, "login", { email, password }, "login");
  assert.ok(!(await isInside(page)), `${email} was let in`);
}

/** A page of somebody who has an account and is logged in. */
async function member(stage, options, details) {
  const context = await stage.context(options);
  const user = await account(details);
  await giveSession(context, user);
  const page = await context.newPage();
  return { page, user };
}

for (const js of [true, false]) {
  const both = (name, act) => check(`${name}, ${js ? "with" : "without"} scripts`, (stage) => act(stage, { js }));

  both("a visitor registers, logs out and logs in again", async (stage, options) => {
    const page = await stage.open(options);
    const email = someone();
    await register(page, { email, name: "Ada Lovelace" });
    await inside(page);
    await page.goto(at("/account"));
    await on(page, "account");
    const text = await textOf(page);
    assert.ok(text.includes(email), "the account page does not say whose it is");
    assert.equal(await form(page, "profile").locator("[name=name]").inputValue(), "Ada Lovelace");
    await logOut(page);
    await said(page, "status");
    assert.ok(!(await isInside(page)));
    await page.goto(at("/account"));
    await on(page, "login");
    await logIn(page, { email });
    await logOut(page);
  });

  both("one can leave by the page for it as well", async (stage, options) => {
    const { page } = await member(stage, options);
    await page.goto(at("/logout"));
    await on(page, "logout");
    await answered(page, () => submitOf(page.locator('main form[data-form="logout"]')).click(), "login");
    assert.ok(!(await isInside(page)));
  });

  both("what is wrong with a registration stands at its field, and what was typed stays", async (stage, options) => {
    const page = await stage.open(options);
    const email = someone();
    await register(page, { email, name: "Ada", password: "short" });
    await on(page, "register");
    await errorAt(page, "password");
    assert.equal(await page.locator("#email").inputValue(), email);
    assert.equal(await page.locator("#name").inputValue(), "Ada");
    await noPasswordIn(page);

    // Browsers take an address without a dot, and the service does not.
    await send(page, "register", { email: "ada@localhost", password: PASSWORD }, "register");
    await errorAt(page, "email");
    assert.equal(await page.locator("#email").inputValue(), "ada@localhost");
    assert.equal(await page.locator("#password-error").count(), 0, "an error that was mended still stands");

    await send(page, "register", { email, password: PASSWORD });
    await inside(page);
  });

  both("an address that is taken is told at its field", async (stage, options) => {
    const { email } = await account();
    const page = await stage.open(options);
    await register(page, { email });
    await on(page, "register");
    await errorAt(page, "email");
    assert.equal(await page.locator("#email").inputValue(), email);
  });

  both("a wrong password is told, the same as an unknown address, and the address stays", async (stage, options) => {
    const { email } = await account();
    const page = await stage.open(options);
    const told = [];
    for (const typed of [email, someone("nobody")]) {
      await isRefused(page, typed, "a wrong password");
      told.push(await said(page, "alert"));
      assert.equal(await page.locator("#email").inputValue(), typed);
      await noPasswordIn(page);
    }
    assert.equal(told[0], told[1]);
    await isRefused(page, email, "a wrong password");
    await send(page, "login", { password: PASSWORD });
    await inside(page);
  });

  both("an address is verified by its link", async (stage, options) => {
    const { page, user } = await member(stage, options);
    const first = await mailedLink(user.email, "/verify-email");
    await page.goto(at("/verify-email"));
    await on(page, "verify_email");
    await send(page, "resend", { email: user.email }, "message");
    const link = await mailedLink(user.email, "/verify-email", { but: [first] });
    await follow(page, link);
    await said(page, "status");
    assert.equal((await api("GET", "/api/auth/me", { token: user.token })).email_verified, true);
    await page.goto(link);
    await on(page, "confirm");
    await send(page, "confirm");
    await isTold(page);
  });

  both("a forgotten password is set anew by the link", async (stage, options) => {
    const user = await account();
    const elsewhere = await stage.context(options);
    await giveSession(elsewhere, user);
    const page = await stage.open(options);
    await page.goto(at("/login"));
    await answered(page, () => page.locator('main a[href*="/forgot-password"]').click(), "forgot_password", { swapped: false });
    await send(page, "forgot", { email: user.email }, "message");
    const link = await mailedLink(user.email, "/reset-password");

    await page.goto(link);
    await on(page, "confirm");
    await send(page, "confirm", { password: "short" }, "confirm");
    await errorAt(page, "password");
    assert.ok(!page.url().includes("token="), page.url());
    await send(page, "confirm", { password: OTHER_PASSWORD });
    await said(page, "status");
    assert.ok(!page.url().includes("token="), page.url());

    await isRefused(page, user.email, PASSWORD);
    await logIn(page, { email: user.email, password: OTHER_PASSWORD });
    const other = await elsewhere.newPage();
    await other.goto(at("/account"));
    await on(other, "login");
  });

  both("asking for a new password says the same of an unknown address", async (stage, options) => {
    const { email } = await account();
    const page = await stage.open(options);
    const told = [];
    for (const typed of [email, someone("nobody")]) {
      await page.goto(at("/forgot-password"));
      await send(page, "forgot", { email: typed }, "message");
      told.push((await textOf(page)).replaceAll(typed, "ADDRESS"));
    }
    assert.equal(told[0], told[1]);
  });

  both("an address is changed by its link, and taken back by the other", async (stage, options) => {
    const { page, user } = await member(stage, options);
    const email = someone("new");
    await page.goto(at("/account"));
    await send(page, "email", { email, password: "a wrong password" }, "account");
    await errorAt(page, "email-password");
    assert.equal(await page.locator("#email-email").inputValue(), email);
    for (const other of ["password", "delete"]) {
      assert.equal(await page.locator(`[id^="${other}-"][id$="-error"]`).count(), 0, `the error shows in ${other}, too`);
    }
    await send(page, "email", { password: PASSWORD });
    const link = await mailedLink(email, "/change-email");
    await follow(page, link);
    await said(page, "status");
    await isRefused(page, user.email, PASSWORD);
    await logIn(page, { email });

    await follow(page, await mailedLink(user.email, "/undo-email-change"));
    await said(page, "status");
    await page.goto(at("/account"));
    await on(page, "login");
    await follow(page, await mailedLink(user.email, "/reset-password"), { password: OTHER_PASSWORD });
    await logIn(page, { email: user.email, password: OTHER_PASSWORD });
  });

  both("a link that does not work is told", async (stage, options) => {
    const page = await stage.open(options);
    for (const path of ["/verify-email", "/reset-password", "/change-email", "/undo-email-change"]) {
      await page.goto(at(`${path}?token=dwo_${"A".repeat(43)}`));
      const confirm = form(page, "confirm");
      if (await confirm.count()) {
        const password = confirm.locator("[name=password]");
        await send(page, "confirm", (await password.count()) ? { password: OTHER_PASSWORD } : {});
      }
      await isTold(page);
    }
  });

  both("a name is changed, and kept as typed where it is refused", async (stage, options) => {
    const { page, user } = await member(stage, options);
    await page.goto(at("/account"));
    await send(page, "profile", { name: "Countess of Lovelace" }, "account");
    await said(page, "status");
    assert.equal(await page.locator("#profile-name").inputValue(), "Countess of Lovelace");
    assert.equal((await api("GET", "/api/auth/me", { token: user.token })).name, "Countess of Lovelace");
    const long = "n".repeat(2000);
    await page.locator("#profile-name").evaluate((input) => input.removeAttribute("maxlength"));
    await send(page, "profile", { name: long }, "account");
    await errorAt(page, "profile-name");
    assert.equal(await page.locator("#profile-name").inputValue(), long);
    assert.equal((await api("GET", "/api/auth/me", { token: user.token })).name, "Countess of Lovelace");
  });

  both("a password is changed, which ends the other sessions", async (stage, options) => {
    const { page, user } = await member(stage, options);
    const elsewhere = await stage.context(options);
    await giveSession(elsewhere, user);
    await page.goto(at("/account"));
    assert.equal(await form(page, "password").locator('[autocomplete~="username"]').inputValue(), user.email);
    await send(page, "password", { current_password: "a wrong password", new_password: OTHER_PASSWORD }, "account");
    await errorAt(page, "password-current_password");
    await send(page, "password", { current_password: PASSWORD, new_password: "short" }, "account");
    await errorAt(page, "password-new_password");
    await send(page, "password", { current_password: PASSWORD, new_password: OTHER_PASSWORD }, "account");
    await said(page, "status");
    await page.reload();
    await on(page, "account");
    const other = await elsewhere.newPage();
    await other.goto(at("/account"));
    await on(other, "login");
    await isRefused(other, user.email, PASSWORD);
    await logIn(other, { email: user.email, password: OTHER_PASSWORD });
  });

  both("another session is listed with its device and ended", async (stage, options) => {
    const { page, user } = await member(stage, options);
    // The account's first session is the API's, which no browser holds.
    const ids = () => page.locator('form[data-form="end-session"] [name="id"]').evaluateAll((all) => all.map((i) => i.value));
    await page.goto(at("/account"));
    const before = await ids();
    const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    const other = await stage.open({ ...options, userAgent: firefox });
    await logIn(other, user);
    await page.reload();
    await on(page, "account");
    assert.ok((await page.locator("#sessions").innerText()).includes("Firefox on Linux"));
    assert.ok((await page.locator("#sessions time").count()) >= 2, "the sessions have no times");
    const added = (await ids()).filter((id) => !before.includes(id));
    assert.equal(added.length, 1);
    const end = page.locator('form[data-form="end-session"]', { has: page.locator(`[name="id"][value="${added[0]}"]`) });
    await answered(page, () => submitOf(end).click(), "account");
    await said(page, "status");
    assert.ok(!(await ids()).includes(added[0]));
    await other.goto(at("/account"));
    await on(other, "login");
  });

  both("all other sessions are ended at once", async (stage, options) => {
    const { page, user } = await member(stage, options);
    const elsewhere = await stage.context(options);
    await giveSession(elsewhere, user);
    await page.goto(at("/account"));
    await send(page, "end-all");
    const other = await elsewhere.newPage();
    await other.goto(at("/account"));
    await on(other, "login");
  });

  both("one's own events are shown, refused ones as well", async (stage, options) => {
    const { page, user } = await member(stage, options);
    await page.goto(at("/account"));
    const events = page.locator("#events");
    const before = await events.locator("time").count();
    assert.ok(before >= 2, "registering and logging in are not told");
    const refused = await raw("POST", "/api/auth/login", { json: { email: user.email, password: "a wrong password" } });
    assert.equal(refused.status, 401);
    await until("the refused log-in is shown", async () => {
      await page.reload();
      return (await events.locator("time").count()) > before;
    });
    // More than one page's worth.
    for (let n = 0; n < 60; n++) await api("PATCH", "/api/auth/me", { token: user.token, json: { name: `Ada ${n}` } });
    await page.reload();
    const more = events.locator('a[href*="events="]');
    const moments = () => events.locator("time").evaluateAll((times) => times.map((time) => time.dateTime));
    const first = await moments();
    await answered(page, () => more.click(), "account", { swapped: false });
    const second = await moments();
    assert.ok(second.length > 0 && second.every((moment) => moment < first.at(-1)), "not the events before those");
  });

  both("an account is deleted with its password", async (stage, options) => {
    const { page, user } = await member(stage, options);
    await page.goto(at("/account"));
    assert.equal(await page.locator("#delete-password").isVisible(), false, "it is not behind a first step");
    await page.locator("#delete summary").click();
    await send(page, "delete", { password: "a wrong password" }, "account");
    await errorAt(page, "delete-password");
    assert.equal(await page.locator("#email-password-error").count(), 0, "the error shows in another form, too");
    await send(page, "delete", { password: PASSWORD });
    await said(page, "status");
    assert.ok(!(await isInside(page)));
    await isRefused(page, user.email, PASSWORD);
    await page.goto(at("/account"));
    await on(page, "login");
  });

  both("a visitor is sent to log in and back to where they wanted to go", async (stage, options) => {
    const user = await account();
    const page = await stage.open(options);
    await page.goto(at("/account?from=mail"));
    await on(page, "login");
    assert.ok(pathOf(page.url()).startsWith("/login?next="), page.url());
    // A mistake on the way loses it no more than the way to register.
    await send(page, "login", { email: user.email, password: "a wrong password" }, "login");
    const href = await page.locator('main a[href*="/register"]').getAttribute("href");
    const next = new URL(href, page.url()).searchParams.get("next");
    assert.equal(new URL(next, page.url()).href, at("/account?from=mail"));
    await send(page, "login", { password: PASSWORD }, "account");
    assert.equal(pathOf(page.url()), "/account?from=mail");
    await logOut(page);

    await page.goto(at("/account?from=mail"));
    await answered(page, () => page.locator('main a[href*="/register"]').click(), "register", { swapped: false });
    await send(page, "register", { email: someone(), password: PASSWORD }, "account");
    assert.equal(pathOf(page.url()), "/account?from=mail");
  });

  both("somebody who is logged in is sent away from log-in", async (stage, options) => {
    const { page } = await member(stage, options);
    for (const path of ["/login", "/register", `/login?next=${encodeURIComponent(new URL(at("/account")).pathname)}`]) {
      await page.goto(at(path));
      await inside(page);
      assert.ok(!/^\/(login|register)/.test(pathOf(page.url())), `${path} led to ${page.url()}`);
    }
    assert.equal(pathOf(page.url()), "/account");
  });

  both("a page that does not exist is told with a number to ask about", async (stage, options) => {
    const page = await stage.open(options);
    const response = await page.goto(at("/no-such-page"));
    assert.equal(response.status(), 404);
    await on(page, "error");
    const text = await textOf(page);
    assert.ok(text.includes(response.headers()["x-request-id"]), text);
    assert.equal(await page.locator("h1").count(), 1);
  });

  both("password managers find the page to change a password", async (stage, options) => {
    const { page } = await member(stage, options);
    await page.goto(at("/.well-known/change-password"));
    await on(page, "account");
    assert.equal(pathOf(page.url()), "/account#password");
    assert.ok(await page.locator("#password").isVisible());
  });

  both("password managers work in every form", async (stage, options) => {
    const { page, user } = await member(stage, options);
    const visitor = await stage.open(options);
    const expected = {
      "/login": { login: { email: "username", password: "current-password" } },
      "/register": { register: { name: "name", email: "username", password: "new-password" } },
      "/account": {
        password: { current_password: "current-password", new_password: "new-password" },
        email: { password: "current-password" },
        delete: { password: "current-password" },
      },
    };
    for (const [path, forms] of Object.entries(expected)) {
      const shown = path === "/account" ? page : visitor;
      await shown.goto(at(path));
      for (const [name, fields] of Object.entries(forms)) {
        for (const [field, value] of Object.entries(fields)) {
          const input = form(shown, name).locator(`[name="${field}"]`);
          const given = (await input.getAttribute("autocomplete")) ?? "";
          assert.ok(given.split(/\s+/).includes(value), `${name}.${field} has autocomplete="${given}"`);
          assert.equal(await input.getAttribute("onpaste"), null);
        }
      }
    }
    const email = visitor.locator("#email");
    assert.deepEqual(
      [await email.getAttribute("type"), await email.getAttribute("autocapitalize"), await email.getAttribute("spellcheck")],
      ["email", "none", "false"],
    );
    await visitor.goto(at("/forgot-password"));
    await send(visitor, "forgot", { email: user.email }, "message");
    await visitor.goto(await mailedLink(user.email, "/reset-password"));
    const input = form(visitor, "confirm").locator("[name=password]");
    assert.equal(await input.getAttribute("autocomplete"), "new-password");
  });
}

check("a password is shown and hidden by its button, and never remembered as shown", async (stage) => {
  const page = await stage.open();
  await page.goto(at("/login"));
  const field = page.locator("#password");
  const button = page.locator('button[data-reveal="password"]');
  await button.waitFor({ state: "visible" });
  await field.fill(PASSWORD);
  await button.click();
  assert.equal(await field.getAttribute("type"), "text");
  await button.click();
  assert.equal(await field.getAttribute("type"), "password");
  await button.click();
  await send(page, "login", { email: someone("nobody") }, "login");
  assert.equal(await page.locator("#password").getAttribute("type"), "password");
});

check("the button that shows a password is not there without scripts", async (stage) => {
  const page = await stage.open({ js: false });
  await page.goto(at("/login"));
  assert.equal(await page.locator("button.reveal:visible").count(), 0);
});

check("a password can be pasted", async (stage) => {
  const page = await stage.open();
  await page.goto(at("/login"));
  await page.locator("#email").fill("pasted");
  await page.locator("#email").press("ControlOrMeta+A");
  await page.locator("#email").press("ControlOrMeta+C");
  await page.locator("#password").press("ControlOrMeta+V");
  assert.equal(await page.locator("#password").inputValue(), "pasted");
});

check("a form that is lost on its way says so and keeps what was typed", async (stage) => {
  const { page, user } = await member(stage, { lossy: true });
  await page.goto(at("/account"));
  await page.route("**/account/profile", (route) => route.abort("connectionreset"));
  await fill(page, "profile", { name: "Countess of Lovelace" });
  await submitOf(form(page, "profile")).click();
  await said(page, "alert");
  assert.equal(await page.locator("#profile-name").inputValue(), "Countess of Lovelace");
  await page.unroute("**/account/profile");
  await send(page, "profile", {}, "account");
  assert.equal((await api("GET", "/api/auth/me", { token: user.token })).name, "Countess of Lovelace");
});

check("a form that is sent twice in a row is sent once", async (stage) => {
  const { page } = await member(stage);
  await page.goto(at("/account"));
  let sent = 0;
  let release;
  const held = new Promise((resolve) => (release = resolve));
  await page.route("**/account/profile", async (route) => {
    sent += 1;
    await held;
    await route.continue();
  });
  await fill(page, "profile", { name: "Once" });
  await answered(page, async () => {
    // Two clicks in one task, faster than anybody's.
    await submitOf(form(page, "profile")).evaluate((button) => (button.click(), button.click()));
    await until("the form is sent", () => sent > 0);
    release();
  }, "account");
  assert.equal(sent, 1);
});

check("the address bar, back and reload work as with loaded pages", async (stage) => {
  const user = await account();
  const page = await stage.open();
  await page.goto(at("/login?next=" + encodeURIComponent(new URL(at("/account")).pathname)));
  await send(page, "login", { email: user.email, password: PASSWORD }, "account");
  assert.equal(pathOf(page.url()), "/account");
  assert.ok((await page.title()) !== "");
  await page.reload();
  await on(page, "account");
  const here = page.url();
  await page.goto(at("/forgot-password"));
  await page.goBack();
  await on(page, "account");
  assert.equal(page.url(), here);
});

check("the language follows the browser", async (stage) => {
  const titles = {};
  for (const [locale, language] of [["de-DE", "de"], ["de-AT", "de"], ["en-US", "en"], ["fr-FR", "en"]]) {
    const page = await stage.open({ locale });
    for (const path of ["/login", "/register", "/forgot-password", "/no-such-page"]) {
      await page.goto(at(path));
      assert.equal(await page.locator("html").getAttribute("lang"), language, `${path} for ${locale}`);
      (titles[path] ??= {})[language] = await page.locator("h1").innerText();
    }
  }
  for (const [path, { de, en }] of Object.entries(titles)) assert.notEqual(de, en, `${path} says the same in both`);
  const page = await stage.open({ locale: "de-DE" });
  await page.goto(at("/login"));
  await send(page, "login", { email: someone("nobody"), password: "x" }, "login");
  assert.equal(await page.locator("html").getAttribute("lang"), "de", "an error is told in another language");
});

check("mails speak the language that the page was asked in", async (stage) => {
  const subjects = [];
  for (const locale of ["de-DE", "en-GB"]) {
    const page = await stage.open({ locale });
    const email = someone();
    await register(page, { email });
    await inside(page);
    await page.goto(at("/verify-email"));
    await send(page, "resend", { email }, "message");
    await mailedLink(email, "/verify-email");
    subjects.push(mails(email).at(-1).subject);
  }
  assert.notEqual(subjects[0], subjects[1]);
});

check("the cookies of the session and of the device have the attributes of the contract", async (stage) => {
  const page = await stage.open();
  await register(page, { email: someone() });
  await inside(page);
  const cookies = await page.context().cookies();
  const secure = page.url().startsWith("https:");
  const prefix = secure ? "__Host-" : "";
  const found = cookies.map(({ name, httpOnly, sameSite, path, domain, secure }) => ({ name, httpOnly, sameSite, path, domain, secure }));
  assert.deepEqual(
    found.toSorted((one, other) => one.name.localeCompare(other.name)),
    [`${prefix}doorward`, `${prefix}doorward-device`].map((name) =>
      ({ name, httpOnly: true, sameSite: "Lax", path: "/", domain: new URL(page.url()).hostname, secure })),
  );
});

check("pages of a user are kept by no cache, and assets are", async () => {
  const user = await account();
  const cookie = await sessionCookie(user);
  const page = await raw("GET", "/account", { headers: { accept: "text/html", cookie: `${cookie.name}=${cookie.value}` } });
  assert.equal(page.status, 200);
  assert.match(page.headers["cache-control"], /no-store/);
  const asset = /href="([^"]*doorward\.css[^"]*)"/.exec(page.text)[1].replaceAll("&#x2f;", "/");
  const css = await raw("GET", new URL(asset, at("/account")).href);
  assert.equal(css.status, 200);
  assert.match(css.headers["cache-control"], /max-age=\d{4,}/);
});

await run();
