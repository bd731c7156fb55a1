import { type NextRequest, NextResponse } from "next/server";
import { DOORWARD_PUBLIC_URL, DOORWARD_URL, TOKEN_HEADER } from "./lib/doorward";

const SECURE = DOORWARD_PUBLIC_URL.startsWith("https:");
const COOKIE = SECURE ? "__Host-doorward" : "doorward";

// Everything that a page could answer, not the protected paths alone: no page may see the header that a client made up.
export const config = { matcher: "/((?!_next/static/).*)" };

export async function middleware(request: NextRequest): Promise<NextResponse> {
  const headers = new Headers(request.headers);
  headers.delete(TOKEN_HEADER);
  if (!isProtected(request.nextUrl.pathname)) return NextResponse.next({ request: { headers } });

  const cookie = request.cookies.get(COOKIE);
  if (!cookie) return toLogIn(request);

  let answer: Response;
  let grant: { access_token: string };
  try {
    answer = await refresh(request, cookie.value);
    if (answer.status === 401) return takeBack(toLogIn(request));
    // Whatever else it is, it says nothing about the session: the visitor keeps it.
    if (!answer.ok) return unavailable(answer.headers.get("retry-after"));
    grant = await answer.json();
  } catch {
    return unavailable();
  }

  headers.set(TOKEN_HEADER, grant.access_token);
  const response = NextResponse.next({ request: { headers } });
  for (const line of answer.headers.getSetCookie()) response.headers.append("set-cookie", line);
  return response;
}

function isProtected(path: string): boolean {
  return path === "/dashboard" || path.startsWith("/dashboard/");
}

/** Exchanges the session cookie for an access token. Parallel requests with one cookie get the same successor. */
function refresh(request: NextRequest, token: string): Promise<Response> {
  const headers = new Headers({
    cookie: `${COOKIE}=${token}`,
    // Doorward takes its cookie from pages of its own origin alone; this server speaks for them.
    origin: DOORWARD_PUBLIC_URL,
  });
  // So that the list of sessions shows the visitor's device and place, not this server's.
  for (const name of ["user-agent", "x-forwarded-for"]) {
    const value = request.headers.get(name);
    if (value) headers.set(name, value);
  }
  return fetch(`${DOORWARD_URL}/api/auth/refresh`, {
    method: "POST",
    headers,
    cache: "no-store",
    signal: AbortSignal.timeout(5_000),
  });
}

function toLogIn(request: NextRequest): NextResponse {
  const url = new URL("/login", request.url);
  url.searchParams.set("next", request.nextUrl.pathname + request.nextUrl.search);
  return NextResponse.redirect(url, 303);
}

function takeBack(response: NextResponse): NextResponse {
  response.cookies.set(COOKIE, "", { path: "/", maxAge: 0, httpOnly: true, sameSite: "lax", secure: SECURE });
  return response;
}

function unavailable(retryAfter: string | null = null): NextResponse {
  return new NextResponse("The log-in service does not answer. Please try again in a moment.", {
    status: 503,
    headers: { "cache-control": "no-store", "retry-after": retryAfter ?? "5" },
  });
}
