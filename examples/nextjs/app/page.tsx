import Link from "next/link";

export default function Home() {
  return (
    <>
      <h1>Doorward with Next.js</h1>
      <p>
        {/* Fetched ahead, the dashboard would cost a refresh that nobody may need. */}
        <Link href="/dashboard" prefetch={false}>
          Your dashboard
        </Link>
      </p>
      {/* Doorward's pages are no routes of this app: a plain link leaves the client's router. */}
      <p>
        <a href="/register?next=/dashboard">Register</a>
      </p>
    </>
  );
}
