// Every page that people see, and every state of one that looks different.

import { PASSWORD, account, api, at, errorAt, giveSession, isTold, mailedLink, on, said, send, someone } from "./harness.mjs";

/** An account with what fills its pages: tasks, and links that wait in the mail. `long` is for what might not fit. */
export async function world({ long = false, email } = {}) {
  const filler = long ? "with-a-very-long-name-that-goes-on." : "";
  const user = await account({
    email: email ?? someone(`${filler}ada`),
    name: long ? "Ada Augusta King-Noel, Countess of Lovelace, née Byron" : "Ada Lovelace",
  });
  const { token } = user;
  const tasks = [];
  const titles = ["Return the library books", "Write to Mary about the translation", "Order paper for the printer"];
  if (long) titles.push("W".repeat(200), "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz lesen");
  for (const title of titles) {
    const description = title.startsWith("Write") ? "Notes A to G, and what she thinks of the seventh." : undefined;
    tasks.push(await api("POST", "/api/users/me/tasks", { token, json: { title, description } }));
  }
  await api("PATCH", `/api/users/me/tasks/${tasks[0].id}/complete`, { token, json: { completed: true } });
  await api("POST", "/api/auth/verify-email/resend", { json: { email: user.email } });
  await api("POST", "/api/auth/reset-password", { json: { email: user.email } });
  const other = someone("other");
  await api("POST", "/api/auth/change-email", { token, json: { email: other, password: PASSWORD } });
  const links = {
    verify: await mailedLink(user.email, "/verify-email"),
    reset: await mailedLink(user.email, "/reset-password"),
    change: await mailedLink(other, "/change-email"),
  };
  return { user, tasks, links };
}

const visit = (path) => async (page) => {
  await page.goto(at(path));
};

/**
 * The views, each with a name, whether it is of a user (`inside`), the page's name, and how to come to it. Those with
 * `script` exist with scripts alone. None changes the account.
 */
export const views = [
  { name: "login", page: "login", open: visit("/login") },
  {
    name: "login-refused", page: "login", open: async (page) => {
      await page.goto(at("/login"));
      await send(page, "login", { email: someone("nobody"), password: "a wrong password" }, "login");
      await said(page, "alert");
    },
  },
  { name: "register", page: "register", open: visit("/register") },
  {
    name: "register-refused", page: "register", open: async (page) => {
      await page.goto(at("/register"));
      await send(page, "register", { name: "Ada", email: "ada@localhost", password: PASSWORD }, "register");
      await errorAt(page, "email");
      await send(page, "register", { email: someone(), password: "short" }, "register");
      await errorAt(page, "password");
    },
  },
  { name: "forgot-password", page: "forgot_password", open: visit("/forgot-password") },
  {
    name: "mail-sent", page: "message", open: async (page) => {
      await page.goto(at("/forgot-password"));
      await send(page, "forgot", { email: someone("nobody") }, "message");
    },
  },
  { name: "resend", page: "verify_email", open: visit("/verify-email") },
  { name: "verify-email", page: "confirm", open: (page, { links }) => page.goto(links.verify) },
  { name: "reset-password", page: "confirm", open: (page, { links }) => page.goto(links.reset) },
  {
    name: "reset-password-refused", page: "confirm", open: async (page, { links }) => {
      await page.goto(links.reset);
      await send(page, "confirm", { password: "short" }, "confirm");
      await errorAt(page, "password");
    },
  },
  { name: "change-email", page: "confirm", open: (page, { links }) => page.goto(links.change) },
  {
    name: "link-refused", open: async (page) => {
      await page.goto(at(`/verify-email?token=dwo_${"A".repeat(43)}`));
      if (await page.locator('form[data-form="confirm"]').count()) await send(page, "confirm");
      await isTold(page);
    },
  },
  { name: "not-found", page: "error", open: visit("/no-such-page") },
  { name: "logout", page: "logout", inside: true, open: visit("/logout") },
  { name: "account", page: "account", inside: true, open: visit("/account") },
  {
    name: "account-saved", page: "account", inside: true, open: async (page, { user }) => {
      await page.goto(at("/account"));
      await send(page, "profile", { name: user.name }, "account");
      await said(page, "status");
    },
  },
  {
    name: "account-refused", page: "account", inside: true, open: async (page) => {
      await page.goto(at("/account"));
      await send(page, "password", { current_password: "a wrong password", new_password: "short" }, "account");
      await page.locator('[id^="password-"][id$="-error"]').first().waitFor();
    },
  },
  {
    name: "account-email-refused", page: "account", inside: true, open: async (page) => {
      await page.goto(at("/account"));
      await send(page, "email", { email: someone("new"), password: "a wrong password" }, "account");
      await errorAt(page, "email-password");
    },
  },
  {
    name: "account-delete", page: "account", inside: true, open: async (page) => {
      await page.goto(at("/account"));
      await page.locator("#delete summary").click();
      await send(page, "delete", { password: "a wrong password" }, "account");
      await errorAt(page, "delete-password");
    },
  },
  { name: "not-found-inside", page: "error", inside: true, open: visit("/no-such-page") },
  { name: "tasks", page: "tasks", inside: true, open: visit("/tasks") },
  {
    name: "tasks-more", page: "tasks", inside: true, script: true, open: async (page) => {
      await page.goto(at("/tasks"));
      await page.locator("[data-tasks].live").waitFor();
      await page.locator('form[data-form="create"] summary').click();
      await page.locator(".list details summary").first().click();
      await page.locator('.list [data-act="edit"]').nth(1).click();
      await page.locator('form[data-form="edit"]').waitFor();
    },
  },
  { name: "tasks-done", page: "tasks", inside: true, open: visit("/tasks?completed=true") },
  {
    name: "tasks-refused", page: "tasks", inside: true, script: true, open: async (page) => {
      await page.goto(at("/tasks"));
      await page.locator("[data-tasks].live").waitFor();
      await page.locator("#title").fill("t".repeat(201));
      await page.locator("#title").press("Enter");
      await page.locator('#title[aria-invalid="true"]').waitFor();
    },
  },
  {
    name: "tasks-conflict", page: "tasks", inside: true, script: true, open: async (page, { user, tasks }) => {
      await page.goto(at("/tasks"));
      await page.locator("[data-tasks].live").waitFor();
      const { id, title } = tasks[2];
      await api("PUT", `/api/users/me/tasks/${id}`, { token: user.token, json: { title } });
      await page.locator(`li[data-task="${id}"] label`).click();
      await page.locator(".list .conflict").waitFor();
    },
  },
  { name: "task", page: "task", inside: true, open: (page, { tasks }) => page.goto(at(`/tasks/${tasks[1].id}`)) },
  {
    name: "task-conflict", page: "task", inside: true, open: async (page, { user, tasks }) => {
      const { id, title } = tasks[2];
      await page.goto(at(`/tasks/${id}`));
      await api("PUT", `/api/users/me/tasks/${id}`, { token: user.token, json: { title } });
      await send(page, "edit", { title: "Order more paper" }, "task");
      await page.locator(".conflict").waitFor();
    },
  },
];

/** Opens views one after the other, those of visitors and of users each in a context of their own. */
export async function walk(stage, options, given, look, chosen = views) {
  for (const isInside of [false, true]) {
    const context = await stage.context(options);
    if (isInside) await giveSession(context, given.user);
    for (const view of chosen.filter((view) => Boolean(view.inside) === isInside)) {
      if (view.script && options.js === false) continue;
      const page = await context.newPage();
      await view.open(page, given);
      if (view.page) await on(page, view.page);
      // Undecided text is not looked at: what is shown is what the scripts have made of it.
      await page.waitForLoadState("networkidle");
      await look(page, view);
      await page.close();
    }
    await context.close();
  }
}
