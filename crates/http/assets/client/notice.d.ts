import type { Client } from "./doorward.js";

export interface NoticeTexts {
  /** Default: "Your session is about to end" */
  title: string;
  /** Default: "You will be logged out in less than {time}." `{time}` is put in in the language of the page. */
  text: string;
  /** Default: "Stay logged in" */
  stay: string;
  /** Default: "Log out" */
  logOut: string;
  /** When the end cannot be put off. Default: "Your session cannot be extended any more. Please log in again." */
  last: string;
  /** When it has come. Default: "Your session has ended. Please log in again." */
  ended: string;
  /** Default: "That did not work. Check your connection and try again." */
  failed: string;
  /** Default: "Close" */
  close: string;
}

export interface NoticeOptions {
  /** What the notice is put into, at its end. Default: `document.body`. */
  root?: Element;
  texts?: Partial<NoticeTexts>;
}

/** Shows a notice before the client's session ends. Returns what takes it away for good. */
export declare function attachNotice(
  client: Pick<Client, "logOut" | "onChange" | "onExpiring">,
  options?: NoticeOptions,
): () => void;
