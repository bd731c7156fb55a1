/** A user, as Doorward tells of them. Times are RFC 3339 in UTC. */
export interface User {
  id: string;
  email: string;
  email_verified: boolean;
  name: string | null;
  roles: string[];
  created_at: string;
  updated_at: string;
}

/** Where a client in token mode keeps its refresh token between runs. */
export interface TokenStorage {
  load(): string | null | Promise<string | null>;
  /** `null`: there is no session any more. */
  save(refreshToken: string | null): void | Promise<void>;
}

export interface ClientOptions {
  /** Where Doorward is. Default: the page's own origin. Outside of a browser it has to be absolute. */
  baseUrl?: string;
  /**
   * What keeps the session. `"cookie"`: an `HttpOnly` cookie that all tabs share, for pages. `"token"`: `storage`,
   * which nobody shares, for native apps and servers. Default: `"cookie"`.
   */
  session?: "cookie" | "token";
  /** For token mode. Default: memory, so that the session ends with the client. */
  storage?: TokenStorage;
  /**
   * Seconds before the end of the session at which `onExpiring` tells of it, though never more than half of what
   * the session had left. Default: 120.
   */
  noticeBefore?: number;
  /**
   * The id of the user that the page was made for, where the server knows: a session of another one is told as a change,
   * and no request goes out in another one's name.
   */
  user?: string;
  /** What sends the requests. Default: the global `fetch`. */
  fetch?: typeof globalThis.fetch;
}

export interface Client {
  /**
   * Creates an account. `null`: a mail has been sent, and there is no session before its link is followed.
   *
   * @throws {DoorwardError} for instance `validation_failed`, `email_taken`
   */
  register(input: { email: string; password: string; name?: string }): Promise<User | null>;

  /** @throws {DoorwardError} for instance `invalid_credentials`, `email_not_verified`, `rate_limited` */
  logIn(input: { email: string; password: string }): Promise<User>;

  /** Ends the session here and in all tabs. When it rejects, the user is still logged in. */
  logOut(): Promise<void>;

  /** Who is logged in. Restores the session when asked for the first time. */
  user(): Promise<User | null>;

  /** Renews the session now: it lasts longer, and what is known of the user is fresh. */
  refresh(): Promise<User | null>;

  /** An access token that is good for a while; `null` when nobody is logged in. Do not store it. */
  token(): Promise<string | null>;

  /**
   * The platform's `fetch`, with the access token. A relative input is resolved against `baseUrl`. An answer of 401
   * has the session renewed and the request repeated, once.
   *
   * @throws {TypeError} for another origin than that of `baseUrl`; nothing is sent then
   */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;

  /**
   * Calls `listener` when somebody logs in or out, in whichever tab, and when what is known of the user changes. That
   * nobody was logged in to begin with is no change. Returns what stops it.
   */
  onChange(listener: (user: User | null) => void): () => void;

  /** Calls `listener` once before the session ends, and again when that was put off. Returns what stops it. */
  onExpiring(listener: (expiring: Expiring) => void): () => void;

  /** Stops timers and listeners. The session lives on. */
  close(): void;
}

/** A session's end, ahead. The times stay current while the session is prolonged or ended, by whichever tab. */
export interface Expiring {
  readonly endsAt: Date;
  /** Rounded up; 0 when the session is over. */
  readonly secondsLeft: number;
  /**
   * Prolongs the session. `false`: it cannot be put off any more, and the user has to log in again. Rejects when
   * Doorward could not be reached; trying again may help.
   */
  extend(): Promise<boolean>;
}

export interface FieldError {
  field: string;
  /** Stable, for programs: `required`, `too_short`, ... */
  code: string;
  detail: string;
}

/** A request that was refused (RFC 9457). */
export declare class DoorwardError extends Error {
  constructor(
    status: number,
    problem: { code?: string; title?: string; detail?: string; request_id?: string; errors?: FieldError[] },
    retryAfter?: number,
  );

  /** The error that a response tells of, whatever its body is. Reads the body. */
  static from(response: Response): Promise<DoorwardError>;

  readonly status: number;
  /** Stable, for programs: `invalid_credentials`, ...; `unknown` when the answer is not one of Doorward's. */
  readonly code: string;
  /** For people who read logs, in English; may be empty. */
  readonly detail: string;
  /** By which the server's log knows the request. */
  readonly requestId?: string;
  /** What is wrong with which field; empty for other errors. */
  readonly errors: FieldError[];
  /** Seconds to wait before another try. */
  readonly retryAfter?: number;
  /** With `proof_required`: what `solve` of `doorward/proof` takes. `register` and `logIn` have done so by then. */
  readonly challenge?: string;
  /** With `proof_required`: how many bits. */
  readonly difficulty?: number;
}

/** A client of the Doorward at `options.baseUrl`. One for each page, app or user is enough. */
export declare function createClient(options?: ClientOptions): Client;
