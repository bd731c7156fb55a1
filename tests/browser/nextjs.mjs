// Builds the example for Next.js against a service, starts it, and asks for its page as a visitor, as a user, and as
// somebody who makes a token up.
//
// DOORWARD_URL  where the service answers; the first argument is the example's folder.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

const doorward = process.env.DOORWARD_URL;
const folder = process.argv[2];
const next = [`${folder}/node_modules/next/dist/bin/next`];
const env = { ...process.env, DOORWARD_PUBLIC_URL: doorward };

async function build() {
  const child = spawn("node", [...next, "build"], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (said += text));
  const [code] = await once(child, "exit");
  assert.equal(code, 0, said);
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

async function call(path, { token, ...body }) {
  const headers = { "content-type": "application/json", origin: doorward };
  if (token) headers.authorization = `Bearer ${token}`;
  const response = await fetch(doorward + path, { method: "POST", headers, body: JSON.stringify(body) });
  assert.ok(response.ok, `${path}: ${response.status}`);
  return response;
}

await build();
const port = await freePort();
const app = `http://localhost:${port}`;
const server = spawn("node", [...next, "start", "-p", String(port)], { cwd: folder, env, stdio: "ignore" });
try {
  const end = Date.now() + 30_000;
  while (!(await fetch(app).catch(() => null))) {
    assert.ok(Date.now() < end, "the example does not answer");
    await pause(50);
  }
  const dashboard = (headers) => fetch(`${app}/dashboard`, { headers, redirect: "manual" });
  const isSentAway = (response) => {
    assert.equal(response.status, 303);
    assert.equal(new URL(response.headers.get("location"), app).pathname, "/login");
  };

  const email = "ada@example.com";
  const registered = await call("/api/auth/register", { email, password: "correct horse battery", session: "cookie" });
  const cookie = registered.headers.getSetCookie()[0].split(";")[0];
  const { access_token: token } = await registered.json();
  await call("/api/users/me/tasks", { token, title: "Return the library books" });

  isSentAway(await dashboard({}));
  isSentAway(await dashboard({ cookie: "doorward=dwr_made_up" }));
  isSentAway(await dashboard({ "x-doorward-token": token }));

  const shown = await dashboard({ cookie });
  const html = await shown.text();
  assert.equal(shown.status, 200);
  assert.ok(html.includes("Return the library books"), "the task is not on the page");
  assert.ok(!html.includes(token), "a token is in the page");
  const [successor] = shown.headers.getSetCookie();
  assert.match(successor, /^doorward=dwr_.*HttpOnly/);
  assert.notEqual(successor.split(";")[0], cookie);

  // Requests at once with one cookie are as good as one.
  const again = await Promise.all(Array.from({ length: 8 }, () => dashboard({ cookie: successor.split(";")[0] })));
  assert.deepEqual(again.map(({ status }) => status), Array(8).fill(200));

  const login = await fetch(`${app}/login`);
  assert.ok((await login.text()).includes('data-page="login"'), "the service's own pages are not below the app");
  console.log("the example keeps its page to who is logged in");
} finally {
  server.kill();
}
