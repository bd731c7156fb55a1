import { headers } from "next/headers";
import { redirect } from "next/navigation";
import { DOORWARD_URL, TOKEN_HEADER } from "./doorward";

/** Asks Doorward's API on behalf of the visitor; for server components under the paths that the middleware protects. */
export async function ask<T>(path: string): Promise<T> {
  const token = (await headers()).get(TOKEN_HEADER);
  // Never there without the middleware. Should a request find a way around it, it ends here.
  if (!token) redirect("/login?next=/dashboard");
  const answer = await fetch(DOORWARD_URL + path, {
    headers: { authorization: `Bearer ${token}` },
    cache: "no-store",
    // The page's answer carries the new cookie. Much later than the reuse window it could replace a newer one.
    signal: AbortSignal.timeout(5_000),
  });
  if (!answer.ok) throw new Error(`Doorward answered ${path} with ${answer.status}`);
  return (await answer.json()) as T;
}
