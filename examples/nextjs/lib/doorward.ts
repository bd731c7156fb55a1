// next.config.ts gives both addresses.
export const DOORWARD_URL = process.env.DOORWARD_URL!;
export const DOORWARD_PUBLIC_URL = process.env.DOORWARD_PUBLIC_URL!;

/** The request header in which the middleware hands the access token to server components. */
export const TOKEN_HEADER = "x-doorward-token";
