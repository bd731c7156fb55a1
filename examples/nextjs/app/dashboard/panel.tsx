"use client";

import { type Client, createClient, DoorwardError, type User } from "doorward";
import { attachNotice } from "doorward/notice";
import { useRouter } from "next/navigation";
import { type FormEvent, useEffect, useState } from "react";

/** What happens in the browser: adding a task, logging out, and leaving when the session has ended in another tab. */
export function Panel({ userId }: { userId: string }) {
  const router = useRouter();
  const [client, setClient] = useState<Client>();
  const [busy, setBusy] = useState(false);
  const [alert, setAlert] = useState<string>();

  // In an effect, since client components are rendered on the server, too, where there is no session.
  useEffect(() => {
    const client = createClient();
    // A page load rather than a route: nothing of the old user stays in the router's cache.
    const follow = (user: User | null) => {
      if (user?.id !== userId) location.replace(user ? "/dashboard" : "/login?next=/dashboard");
    };
    const stop = client.onChange(follow);
    const detach = attachNotice(client);
    client.user().then(follow, (error) => setAlert(text(error)));
    setClient(client);
    return () => {
      detach();
      stop();
      client.close();
    };
  }, [userId]);

  async function run(act: (client: Client) => Promise<void>) {
    if (!client) return;
    setBusy(true);
    setAlert(undefined);
    try {
      await act(client);
    } catch (error) {
      setAlert(text(error));
    } finally {
      setBusy(false);
    }
  }

  function add(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = event.currentTarget;
    return run(async (client) => {
      const answer = await client.fetch("/api/users/me/tasks", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ title: new FormData(form).get("title") }),
      });
      if (!answer.ok) throw await DoorwardError.from(answer);
      form.reset();
      router.refresh();
    });
  }

  return (
    <>
      <form onSubmit={add}>
        <label htmlFor="title">New task</label> <input id="title" name="title" maxLength={200} required />{" "}
        <button disabled={!client || busy}>Add</button>
      </form>
      {alert && <p role="alert">{alert}</p>}
      <p>
        <a href="/account">Account</a>{" "}
        <button type="button" disabled={!client || busy} onClick={() => run((client) => client.logOut())}>
          Log out
        </button>
      </p>
    </>
  );
}

function text(error: unknown): string {
  if (!(error instanceof DoorwardError)) return "That did not work. Please try again.";
  const [first] = error.errors;
  return first ? `${first.field} ${first.detail}` : error.message;
}
