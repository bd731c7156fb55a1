/** As much of Doorward as a client can see. */
export class Server {
  requests = [];
  sessions = new Map();
  issued = 0;
  latency = 20;
  /** Path to what answers its next requests, one after the other, instead. */
  plans = new Map();
  now = 1_000_000;

  constructor(world, { access = 600, idle = 10_000, absolute = 50_000, registration = "open" } = {}) {
    Object.assign(this, { world, access, idle, absolute, registration });
  }

  get refreshes() {
    return this.count("/api/auth/refresh");
  }

  count(path) {
    return this.requests.filter((request) => new URL(request.url).pathname === path).length;
  }

  plan(path, ...answers) {
    this.plans.set(path, answers);
  }

  fetch = async (input, init) => {
    const request = new Request(input, init);
    const { signal } = request;
    const aborted = new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      if (signal.aborted) reject(signal.reason);
    });
    aborted.catch(() => {});
    // Together with the body, before anything is awaited.
    const text = request.body ? await request.clone().text() : "";
    this.requests.push(request);
    request.sent = text;
    await Promise.race([this.world.sleepUntil(this.latency / 2), aborted]);
    const plan = this.plans.get(new URL(request.url).pathname)?.shift();
    const answer = await (plan ? plan(request, () => this.answer(request, text)) : this.answer(request, text));
    await Promise.race([this.world.sleepUntil(this.latency / 2), aborted]);
    if ("setCookie" in answer && request.credentials === "include") this.world.cookie = answer.setCookie;
    return answer;
  };

  answer(request, text) {
    const path = new URL(request.url).pathname.replace("/prefix", "");
    const body = text && path.startsWith("/api/auth/") ? JSON.parse(text) : {};
    const bearer = request.headers.get("Authorization")?.replace("Bearer ", "");
    const cookie = request.credentials === "include" ? this.world.cookie : null;
    switch (path) {
      case "/api/auth/register":
        if (this.registration === "verified") return Response.json({ status: "verification_sent" }, { status: 202 });
        return this.begin(body, 201);
      case "/api/auth/login":
        if (body.password.startsWith("wrong")) return problem(401, "invalid_credentials");
        return this.begin(body, 200);
      case "/api/auth/refresh":
        return this.rotate(body.refresh_token ?? cookie, body.refresh_token ? "token" : "cookie");
      case "/api/auth/logout": {
        if (!bearer && !body.refresh_token && !cookie) return problem(401, "unauthenticated");
        for (const token of [bearer, body.refresh_token, cookie]) {
          const session = this.sessions.get(token?.split(".")[1]);
          if (session) session.ended = true;
        }
        return Object.assign(new Response(null, { status: 204 }), { setCookie: null });
      }
      default: {
        const [kind, id, expires] = bearer?.split(".") ?? [];
        const session = this.sessions.get(id);
        if (kind !== "access" || !session || session.ended || Number(expires) <= this.time()) {
          return problem(401, "unauthenticated");
        }
        return Response.json({ who: session.user.email, text });
      }
    }
  }

  /** The server's clock, which has nothing to do with the client's; sleep does not stop it. */
  time() {
    return this.now + this.world.mono / 1000 + (this.world.slept ?? 0);
  }

  begin({ email, name = null, session: mode }, status) {
    const id = `0194-${String(this.sessions.size + 1).padStart(4, "0")}`;
    const user = { id: `user-${email}`, email, email_verified: true, name, roles: [], created_at: "", updated_at: "" };
    const ends = this.time() + this.absolute;
    this.sessions.set(id, { id, user, step: 1, ends, idleEnds: Math.min(ends, this.time() + this.idle) });
    return this.grant(this.sessions.get(id), 1, mode, status);
  }

  rotate(token, mode) {
    if (!token) return problem(422, "validation_failed", { errors: [{ field: "refresh_token", code: "required", detail: "" }] });
    const [, id, step] = token.split(".");
    const session = this.sessions.get(id);
    if (!session || session.ended || session.idleEnds <= this.time()) return problem(401, "invalid_refresh_token");
    if (Number(step) < session.step - 1) {
      session.ended = true;
      return problem(401, "invalid_refresh_token");
    }
    session.step = Number(step) + 1;
    session.idleEnds = Math.min(session.ends, this.time() + this.idle);
    return this.grant(session, session.step, mode, 200);
  }

  grant(session, step, mode, status) {
    const refresh_token = `refresh.${session.id}.${step}`;
    const grant = {
      access_token: `access.${session.id}.${this.time() + this.access}.${++this.issued}`,
      token_type: "Bearer",
      expires_in: this.access,
      refresh_expires_in: Math.floor(session.idleEnds - this.time()),
      session_id: session.id,
      user: session.user,
    };
    if (mode === "cookie") return Object.assign(Response.json(grant, { status }), { setCookie: refresh_token });
    return Response.json({ ...grant, refresh_token }, { status });
  }
}

export function problem(status, code, more, headers) {
  const body = { type: `urn:doorward:problem:${code}`, title: code, status, detail: `About ${code}`, code, request_id: "r-1", ...more };
  return new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/problem+json", ...headers } });
}

export const lostBefore = () => Promise.reject(new TypeError("fetch failed"));
export const lostAfter = (_, answer) => (answer(), Promise.reject(new TypeError("fetch failed")));
export const busy = (seconds) => () => problem(503, "overloaded", {}, { "Retry-After": String(seconds) });
export const never = () => new Promise(() => {});
export const expire = (world) => (world.server.now += world.server.access);
