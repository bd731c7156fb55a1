// Registration that needs a verified address, with and without scripts.
//
// Needs a fresh service with registration mode `verified`. DOORWARD_URL, DOORWARD_MAIL, CHROMIUM, CHECK: see harness.mjs.

import assert from "node:assert/strict";
import {
  PASSWORD, at, check, isInside, logIn, mailedLink, mails, on, register, run, said, send, someone, textOf, until,
} from "./harness.mjs";

for (const js of [true, false]) {
  const both = (name, act) => check(`${name}, ${js ? "with" : "without"} scripts`, (stage) => act(stage, { js }));

  both("who registers is let in once the address is verified", async (stage, options) => {
    const page = await stage.open(options);
    const email = someone();
    await register(page, { email, name: "Ada Lovelace" });
    await on(page, "message");
    assert.ok(!(await isInside(page)), "there is a session before the address is verified");
    assert.equal((await page.context().cookies()).length, 0);
    const first = await mailedLink(email, "/verify-email");

    await page.goto(at("/login"));
    await send(page, "login", { email, password: PASSWORD }, "login");
    assert.ok(!(await isInside(page)));
    await said(page, "alert");
    assert.equal(await page.locator("#email").inputValue(), email);
    await send(page, "resend", {}, "message");
    const link = await mailedLink(email, "/verify-email", { but: [first] });

    await page.goto(link);
    await on(page, "confirm");
    await send(page, "confirm");
    await said(page, "status");
    assert.ok(!page.url().includes("token="), page.url());
    await logIn(page, { email });
  });

  both("opening the link alone verifies nothing", async (stage, options) => {
    const page = await stage.open(options);
    const email = someone();
    await register(page, { email });
    await page.goto(await mailedLink(email, "/verify-email"));
    await on(page, "confirm");
    await page.goto(at("/login"));
    await send(page, "login", { email, password: PASSWORD }, "login");
    assert.ok(!(await isInside(page)));
  });

  both("the offer to send the mail again is made only after the right password", async (stage, options) => {
    const page = await stage.open(options);
    const email = someone();
    await register(page, { email });
    await on(page, "message");
    await page.goto(at("/login"));
    await send(page, "login", { email, password: "a wrong password" }, "login");
    await said(page, "alert");
    assert.equal(await page.locator('form[data-form="resend"]').count(), 0);
  });

  both("registering a known address says the same, and its owner is told by mail", async (stage, options) => {
    const page = await stage.open(options);
    const email = someone();
    const told = [];
    for (const name of ["Ada", "Eve"]) {
      await register(page, { email, name });
      await on(page, "message");
      told.push(await textOf(page));
      if (name === "Ada") {
        await page.goto(await mailedLink(email, "/verify-email"));
        await send(page, "confirm");
      }
    }
    assert.equal(told[0], told[1]);
    await until("a second mail", () => mails(email).length === 2);
    assert.ok(!mails(email)[1].links.some((link) => link.includes("token=")), "somebody else's registration gives a link");
    await logIn(page, { email });
  });
}

await run();
