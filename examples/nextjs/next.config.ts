import type { NextConfig } from "next";

/** Where this server reaches Doorward. */
const doorward = new URL(process.env.DOORWARD_URL ?? "http://localhost:8080").origin;
/** Doorward's `public_url`, which is this app's own address in production. */
const publicUrl = new URL(process.env.DOORWARD_PUBLIC_URL ?? doorward).origin;

/** Doorward's API and pages. */
const PATHS = [
  "/api/auth/:path*",
  "/api/users/:path*",
  "/.well-known/:path*",
  "/assets/:path*",
  "/login",
  "/register",
  "/logout",
  "/verify-email",
  "/forgot-password",
  "/reset-password",
  "/change-email",
  "/undo-email-change",
  "/account/:path*",
  "/tasks/:path*",
];

const config: NextConfig = {
  // Rewrites are fixed when the app is built. So that the rest of the app cannot mean another Doorward than they do,
  // the addresses are fixed then, too.
  env: { DOORWARD_URL: doorward, DOORWARD_PUBLIC_URL: publicUrl },
  rewrites: async () => PATHS.map((source) => ({ source, destination: doorward + source })),
};

export default config;
