/** What Doorward, or a service behind it, answered instead of what was asked for (RFC 9457). */
export class DoorwardError extends Error {
  constructor(status, problem, retryAfter) {
    super(problem.detail || problem.title || `HTTP status ${status}`);
    this.name = "DoorwardError";
    this.status = status;
    this.code = problem.code ?? "unknown";
    this.detail = problem.detail ?? "";
    this.requestId = problem.request_id;
    this.errors = Array.isArray(problem.errors) ? problem.errors : [];
    this.retryAfter = retryAfter;
    if (problem.challenge) Object.assign(this, { challenge: problem.challenge, difficulty: problem.difficulty });
  }

  /** The error that a response tells of, whatever its body is. */
  static async from(response) {
    const { headers, status } = response;
    const problem = Object(await response.json().catch(ignore));
    problem.request_id ??= headers.get("X-Request-Id") ?? undefined;
    return new DoorwardError(status, problem, Number(headers.get("Retry-After")) || undefined);
  }
}

const TRIES = 3;
/** Seconds that a request may take. */
const PATIENCE = 30;
/** The longest `Retry-After`, in seconds, that is waited for. */
const LONGEST_WAIT = 30;
/** Seconds between looks at the clocks: nothing tells a visible page that the machine slept. */
const LOOK = 30;
/** Seconds by which an end has to move to have moved: whole seconds and slow answers blur it. */
const BLUR = 2;

const ignore = () => {};

const memory = (token = null) => ({ load: () => token, save: (next) => void (token = next) });

/** A session of a user at the Doorward at `baseUrl`. */
export function createClient(options = {}, env = globalThis) {
  const { BroadcastChannel, Date, Math, addEventListener, clearTimeout } = env;
  const { document, location, navigator, performance, setTimeout } = env;
  const { baseUrl = "", session: mode = "cookie", storage = memory(), noticeBefore = 120, user: expected } = options;
  const send = options.fetch ?? ((...request) => globalThis.fetch(...request));
  const base = new URL(baseUrl.replace(/\/*$/, "/"), location?.href);
  const name = `doorward:${base}`;
  // Tabs share one cookie. Clients with tokens share nothing: on a server each may be another user's.
  const byCookie = mode === "cookie";
  const locks = byCookie && navigator?.locks;
  let channel = byCookie && BroadcastChannel ? new BroadcastChannel(name) : undefined;

  /** The grant that counts; null: nobody is logged in; undefined: not known yet. */
  let state;
  /** Goes up whenever `state` is replaced; an answer to a question from before is void. */
  let generation = 0;
  /** The newest session known to be over. Ids are UUIDv7, so their order is that of the log-ins. */
  let over = "";
  let used, noticed, timer, flight, attempt;
  const changed = new Set();
  const expiring = new Set();
  const closing = new AbortController();

  const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const post = (message) => channel?.postMessage(message);

  function emit(listeners, value) {
    for (const listener of [...listeners]) {
      try {
        listener(value);
      } catch (error) {
        (globalThis.reportError ?? console.error)(error);
      }
    }
  }

  // Time. Sleep stops the monotonic clock and a wrong wall clock jumps, so the greater difference counts. The
  // server's times are never compared with either.

  const now = () => ({ wall: Date.now(), mono: performance.now() });
  const age = (grant) => Math.max(Date.now() - grant.wall, performance.now() - grant.mono, 0) / 1000;
  const left = (grant) => grant.refresh_expires_in - age(grant);

  // State.

  function become(next) {
    const before = state;
    state = next;
    generation++;
    attempt?.abort();
    used = false;
    if (next) {
      const moved = before?.session_id !== next.session_id || left(next) - left(before) > BLUR;
      if (moved) noticed = false;
      next.lead = moved ? Math.min(noticeBefore, next.refresh_expires_in / 2) : before.lead;
      // An active user's session goes on before the notice, unless that cannot put off its end.
      const soon = moved ? next.refresh_expires_in - next.lead : next.expires_in;
      const ahead = Math.min(next.expires_in, soon) * (0.75 + 0.15 * Math.random());
      next.ahead = Math.min(ahead, next.refresh_expires_in);
    }
    look();
    const user = next?.user ?? null;
    // What is expected was known before it was found.
    const same = before === undefined && expected
      ? user?.id === expected
      : JSON.stringify(user) === JSON.stringify(before?.user ?? null);
    if (!same) emit(changed, user);
    return next;
  }

  /** Takes a grant that was asked for at `asked`. */
  async function take({ refresh_token, ...grant }, asked) {
    if (!byCookie) await storage.save(refresh_token);
    post({ type: "grant", grant, wall: asked.wall });
    return become({ ...grant, ...asked });
  }

  async function end() {
    if (!byCookie) await storage.save(null);
    // Without an id, tabs that are logged in ask the server themselves.
    post({ type: "out", id: state?.session_id });
    if (state) over = state.session_id;
    return become(null);
  }

  // Requests to Doorward. They take turns, over all tabs where there are Web Locks: the answers set a cookie, and
  // that of an earlier request must not come last.

  async function call(path, body, { abort = new AbortController(), token, proof } = {}) {
    const late = setTimeout(() => abort.abort(new TypeError("Doorward did not answer in time")), PATIENCE * 1000);
    const headers = { "Content-Type": "application/json" };
    if (token) headers.Authorization = `Bearer ${token}`;
    if (proof) headers["Doorward-Proof"] = proof;
    try {
      const response = await send(`${base}api/auth/${path}`, {
        method: "POST",
        headers,
        body: JSON.stringify(body),
        credentials: byCookie ? "include" : "omit",
        signal: abort.signal,
      });
      if (!response.ok) throw await DoorwardError.from(response);
      const answer = response.status !== 204 && (await response.json().catch(ignore));
      if (response.status === 200 || response.status === 201) {
        if (!answer?.access_token) throw new TypeError("The answer is not one of Doorward's");
        return answer;
      }
    } finally {
      clearTimeout(late);
    }
  }

  let queue = Promise.resolve();
  /** The number with which this tab stands in line where there are no Web Locks; the least goes first. */
  let place = Infinity;
  let behind;

  async function turn(work, polite) {
    const since = generation;
    const settled = async (steps) => {
      while (steps-- && generation === since) await pause(0.02);
    };
    if (locks) {
      let free;
      const result = await locks.request(name, { ifAvailable: true }, (lock) => (free = lock) && work());
      if (free) return result;
      return locks.request(name, async () => {
        // What the other tab has to say may take longer than the lock.
        await settled(5);
        return work();
      });
    }
    const mine = queue.then(async () => {
      if (!channel || !polite) return work();
      behind = false;
      place = Math.random();
      post({ type: "place", place });
      await pause(0.03 + 0.07 * Math.random());
      if (behind) await settled(100);
      behind = false;
      place = -1;
      return work().finally(() => (place = Infinity));
    });
    queue = mine.catch(ignore);
    return mine;
  }

  async function rotate() {
    const asked = now();
    const body = byCookie ? {} : { refresh_token: await storage.load() };
    if (!byCookie && !body.refresh_token) return end();
    const since = generation;
    attempt = new AbortController();
    let grant;
    try {
      grant = await call("refresh", body, { abort: attempt });
    } catch (error) {
      const refused = error.code === "invalid_refresh_token" || error.errors?.some((e) => e.code === "required");
      if (!refused) throw error;
    } finally {
      attempt = undefined;
    }
    if (generation !== since) return state;
    return grant ? take(grant, asked) : end();
  }

  async function renewal() {
    const since = generation;
    for (let failed = 1; ; failed++) {
      try {
        return await turn(async () => (generation === since ? rotate() : state), true);
      } catch (error) {
        if (generation !== since) return state;
        const { status = 503, retryAfter = 0 } = error;
        // What a proxy says for a server that is away counts as no answer.
        if (failed === TRIES || retryAfter > LONGEST_WAIT || (status < 502 && status !== 429)) throw error;
        await pause(retryAfter + 0.1 * 3 ** failed * (1 + Math.random()));
      }
    }
  }

  const renew = () => (flight ??= renewal().finally(() => (flight = undefined)));

  const attemptTo = (path, input, proof) =>
    turn(async () => {
      const asked = now();
      const grant = await call(path, { ...input, session: mode }, { proof });
      return grant ? (await take(grant, asked)).user : null;
    });

  async function begin(path, input) {
    try {
      return await attemptTo(path, input);
    } catch (error) {
      if (error.code !== "proof_required" || !error.challenge) throw error;
      // Between two turns: other tabs need not wait for it.
      const { solve } = await import("./proof.js");
      return attemptTo(path, input, await solve(error.challenge, error.difficulty));
    }
  }

  /** The session with a token that is good for a while, however it is come by. */
  async function current() {
    used = true;
    return state === null || (state && age(state) < state.expires_in * 0.95) ? state : renew();
  }

  // What happens by itself.

  function look() {
    clearTimeout(timer);
    if (!state || closing.signal.aborted) return;
    const rest = left(state);
    const gone = age(state);
    // Only the server knows that a session is over, and is asked when asking can no longer prolong it.
    if (gone >= state.ahead && (used || rest < -BLUR)) {
      renew().catch(() => state && (state.ahead = age(state) + LOOK));
    }
    if (!noticed && expiring.size && rest > 0 && rest <= state.lead) {
      noticed = true;
      emit(expiring, ending(state));
    }
    const next = [LOOK, state.ahead - gone, rest - state.lead, rest + BLUR].filter((seconds) => seconds > 0);
    timer = setTimeout(look, Math.ceil(Math.min(...next) * 1000) + 1);
    timer.unref?.();
  }

  function ending(shown) {
    const rest = () => (state ? Math.max(0, left(state)) : 0);
    return {
      get endsAt() {
        return new Date(Date.now() + rest() * 1000);
      },
      get secondsLeft() {
        return Math.ceil(rest());
      },
      async extend() {
        const next = await renew();
        return !!next && (next.session_id !== shown.session_id || left(next) - left(shown) > BLUR);
      },
    };
  }

  function happened({ type, persisted }) {
    const back = type === "visibilitychange" && document?.visibilityState === "visible";
    // Once there is a notice, it must not vanish under the hand that reaches for it.
    if (!noticed && (back || type === "pointerdown" || type === "keydown")) used = true;
    // A page out of the back/forward cache has heard nothing in between, nor has one that could not ask yet.
    const isDeaf = state === undefined && expected && (back || type === "online");
    if ((persisted && state) || isDeaf) renew().catch(ignore);
    look();
  }

  for (const type of ["visibilitychange", "pageshow", "online", "pointerdown", "keydown"]) {
    addEventListener?.(type, happened, { capture: true, passive: true, signal: closing.signal });
  }

  function heard({ data: { type, grant, wall, id, place: theirs } }) {
    if (type === "place") {
      if (place >= theirs) behind = true;
      else if (!behind) post({ type, place });
    } else if (type === "grant" && grant.session_id > over) {
      // Messages may be late. A newer log-in counts more, and of one session what lasts longer or is on its way.
      const next = { ...grant, ...now(), wall };
      const same = state?.session_id === grant.session_id;
      const newer = same
        ? !attempt && next.expires_in - age(next) >= state.expires_in - age(state)
        : !(state?.session_id > grant.session_id);
      if (newer) become(next);
    } else if (type === "out" && id) {
      if (id > over) over = id;
      if (state === undefined && expected) renew().catch(ignore);
      else if (state?.session_id <= id) become(null);
    } else if (type === "out" && state) {
      renew().catch(ignore);
    }
  }

  if (channel) {
    channel.onmessage = heard;
    channel.unref?.();
  }

  return {
    register: (input) => begin("register", input),
    logIn: (input) => begin("login", input),

    logOut() {
      attempt?.abort();
      return turn(async () => {
        const refresh_token = (!byCookie && (await storage.load())) || undefined;
        await call("logout", { refresh_token }, { token: state?.access_token }).catch((error) => {
          // 401: there was nothing left to end.
          if (error.status !== 401) throw error;
        });
        await end();
      });
    },

    user: async () => (await current())?.user ?? null,
    refresh: async () => (await renew())?.user ?? null,
    token: async () => (await current())?.access_token ?? null,

    async fetch(input, init) {
      const request = new Request(input instanceof Request ? input : new URL(input, base), init);
      if (new URL(request.url).origin !== base.origin) {
        throw new TypeError(`${request.url} is not at ${base.origin}, and only there are tokens sent`);
      }
      // What was asked for as one user is never sent as another.
      let who = state?.user.id ?? expected;
      const sendAs = (session) => {
        const copy = request.clone();
        who ??= session?.user.id;
        if (session && session.user.id === who) {
          copy.headers.set("Authorization", `Bearer ${session.access_token}`);
        }
        return send(copy);
      };
      const first = await current();
      const response = await sendAs(first);
      if (response.status !== 401 || !first || first.user.id !== who) return response;
      const second = await (state?.access_token === first.access_token ? renew() : current());
      return second?.user.id === who ? sendAs(second) : response;
    },

    onChange(listener) {
      changed.add(listener);
      return () => void changed.delete(listener);
    },

    onExpiring(listener) {
      expiring.add(listener);
      look();
      return () => void expiring.delete(listener);
    },

    close() {
      closing.abort();
      clearTimeout(timer);
      channel?.close();
      channel = undefined;
      changed.clear();
      expiring.clear();
    },
  };
}
