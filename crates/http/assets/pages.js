// Makes the pages live. Each form is sent as it would be without a script and the answer's body takes the place of this
// one; what other tabs do to the session shows here, too.

import { createClient } from "./doorward.js";
import { attachNotice } from "./notice.js";

const base = document.querySelector('meta[name="doorward-base"]').content;
// Pages that anybody may see: where a session ends, these are shown anew rather than left for log-in.
const OPEN = ["confirm", "error", "forgot_password", "logout", "message", "verify_email"];

// With and without its version in the address this is two modules to a browser, which share what they know here.
const KEY = Symbol.for("doorward.pages");
const first = !document[KEY];
const state = (document[KEY] ??= { client: null, user: null, quiet: false, here: "" });

/** The page's client, or null where nobody is logged in. Ask each time: another page may be shown by then. */
export const session = () => (state.user ? state.client : null);

/** Puts another address in the place of this page's, which stays. */
export function rename(url) {
  history.replaceState(null, "", url);
  state.here = here();
}

if (first) {
  start();
  // On the window, so that a script which handles a form itself has had its turn.
  addEventListener("submit", submitted);
  addEventListener("click", clicked);
  addEventListener("input", typed);
  addEventListener("pagehide", conceal);
  addEventListener("pageshow", (event) => {
    if (event.persisted) leave();
  });
  addEventListener("popstate", () => {
    if (here() !== state.here) leave();
  });
}

/** Sets up the page that is shown now. */
function start() {
  const { user = null } = document.body.dataset;
  state.here = here();
  for (const button of document.querySelectorAll("[data-reveal]")) button.hidden = false;
  localise();
  follow(user);
}

function here() {
  return location.pathname + location.search;
}

function localise() {
  const lang = document.documentElement.lang;
  const own = navigator.languages.filter((language) => language.startsWith(lang));
  const format = new Intl.DateTimeFormat([...own, lang], { dateStyle: "medium", timeStyle: "short" });
  for (const time of document.querySelectorAll("time[data-local]")) {
    time.title = time.textContent;
    time.textContent = format.format(new Date(time.dateTime));
    time.removeAttribute("data-local");
  }
}

// The session

function follow(user) {
  if (state.client && user === state.user) return;
  state.detach?.();
  state.detach = null;
  state.client?.close();
  state.user = user;
  state.quiet = false;
  const client = (state.client = createClient({ baseUrl: location.origin + base, user: user ?? undefined }));
  // Where nobody is logged in, this hears of a log-in in another tab, and asks the server nothing.
  client.onChange(changed);
  if (user) {
    state.detach = attachNotice(client, { texts: noticeTexts() });
    client.user().then((found) => state.client === client && changed(found), () => {});
  }
}

function noticeTexts() {
  const texts = {};
  for (const [name, text] of Object.entries(document.body.dataset)) {
    if (name.startsWith("notice")) texts[name[6].toLowerCase() + name.slice(7)] = text;
  }
  return texts;
}

function changed(user) {
  const id = user?.id ?? null;
  if (state.quiet || id === state.user) return;
  const { page } = document.body.dataset;
  if (state.user) {
    leave(id || OPEN.includes(page) ? undefined : login(here()));
  } else if (page === "login" || page === "register") {
    // The server knows where somebody who is logged in goes from there.
    leave(login(document.querySelector('input[name="next"]')?.value));
  }
}

function login(next) {
  return `${base}/login${next ? `?next=${encodeURIComponent(next)}` : ""}`;
}

/** Leaves for another page, or loads this one anew. Nothing private stays to be seen until then. */
function leave(url) {
  state.quiet = true;
  if (state.user) document.body.replaceChildren();
  if (url) location.replace(url);
  else location.reload();
}

// Forms

async function submitted(event) {
  const { target: form, submitter } = event;
  if (event.defaultPrevented || form.method !== "post" || new URL(form.action).origin !== location.origin) return;
  event.preventDefault();
  if (form.getAttribute("aria-busy") === "true") return;

  const data = new FormData(form);
  if (submitter?.name) data.append(submitter.name, submitter.value);
  const button = submitter ?? form.querySelector('button:not([type="button"])');
  conceal();
  form.setAttribute("aria-busy", "true");
  if (button) button.disabled = true;
  try {
    if (form.dataset.form === "logout" && state.user) await logOut(form, data);
    else await send(form, data);
  } catch (error) {
    // fetch rejects with a TypeError where the network fails.
    const { textOffline, textFailed } = document.body.dataset;
    tell(form, error instanceof TypeError ? textOffline : textFailed);
  } finally {
    form.removeAttribute("aria-busy");
    if (button) button.disabled = false;
  }
}

async function logOut(form, data) {
  state.quiet = true;
  try {
    // By the client, so that every tab hears of it.
    await state.client.logOut();
  } catch (error) {
    state.quiet = false;
    throw error;
  }
  // This only shows what follows. Nobody is logged in any more, so nothing private may stay if it fails.
  const isShown = await send(form, data).catch(() => false);
  if (!isShown) leave(login());
}

/** Sends a form and shows the answer; false where that cannot be shown, and an error is. */
async function send(form, data) {
  const { pathname } = new URL(form.action);
  const post = (headers) => fetch(form.action, {
    method: "POST",
    headers: { Accept: "text/html", ...headers },
    body: new URLSearchParams(data),
  });
  let response = await post();
  const challenge = response.headers.get("Doorward-Challenge");
  if (challenge) response = await post({ "Doorward-Proof": await prove(form, challenge) });
  const text = await response.text();
  const isHtml = response.headers.get("Content-Type")?.startsWith("text/html");
  const page = isHtml ? new DOMParser().parseFromString(text, "text/html") : null;
  const isOurs = Boolean(page?.querySelector('meta[name="doorward-base"]'));

  if (!isOurs && response.redirected) {
    location.assign(response.url);
    return new Promise(() => {});
  }
  if (!isOurs) return tell(form, document.body.dataset.textFailed);
  if (page.body.dataset.page === "error" && !response.redirected) {
    // The form stays, and what was typed in it.
    const [title, lead] = ["h1", ".lead"].map((part) => page.querySelector(`main ${part}`)?.textContent.trim());
    return tell(form, [title, lead].filter(Boolean).join(". "));
  }

  // The answer says that the session is over. Whether it is, the server is asked, which other tabs hear as well; a page
  // for an error knows nobody.
  const gone = state.user && !page.body.dataset.user && !state.quiet && page.body.dataset.page !== "error";
  if (gone) {
    state.quiet = true;
    await state.client.refresh().catch(() => {});
  }
  await addStyles(page.head);
  keep(form, page.body, !response.ok);
  if (response.redirected) {
    const isSame = [pathname, new URL(response.url).pathname].includes(location.pathname);
    history[isSame ? "replaceState" : "pushState"](null, "", response.url);
  } else if (form.getAttribute("action") === "?") {
    // A token is in the address no longer than until it is used.
    history.replaceState(null, "", location.pathname);
  }
  show(page);
  return true;
}

/** Solves what is to keep machines from sending this form by the thousand, and says meanwhile what takes so long. */
async function prove(form, challenge) {
  const [text, difficulty] = challenge.split("; difficulty=");
  const status = document.createElement("p");
  status.className = "hint";
  status.setAttribute("role", "status");
  form.append(status);
  // Only what comes into it later is read out; and what is solved at once needs no words.
  const late = setTimeout(() => (status.textContent = document.body.dataset.textChecking ?? ""), 150);
  try {
    const { solve } = await import("./proof.js");
    return await solve(text, Number(difficulty));
  } finally {
    clearTimeout(late);
    status.remove();
  }
}

function show(page) {
  const before = document.body.dataset.page;
  document.title = page.title;
  document.documentElement.lang = page.documentElement.lang;
  document.body.replaceWith(page.body);
  start();
  if (document.body.dataset.page !== before) scrollTo(0, 0);
  moveFocus();
  addScripts(page.head);
  document.dispatchEvent(new Event("doorward:page"));
}

/** Takes over what was typed and the answer does not bring: passwords that were refused, and all other forms. */
function keep(sent, to, isRefused) {
  const from = document.body;
  if (from.dataset.page !== to.dataset.page || from.dataset.user !== to.dataset.user) return;
  const twin = (element) => to.querySelector(`#${CSS.escape(element.id)}`);
  for (const field of from.querySelectorAll("form :is(input, textarea)[id]")) {
    const isKept = field.form === sent
      ? isRefused && field.type === "password"
      : field.value !== field.defaultValue;
    const other = isKept && twin(field);
    if (other) other.value = field.value;
  }
  for (const details of from.querySelectorAll("details[id][open]")) {
    const other = (isRefused || !details.contains(sent)) && twin(details);
    if (other) other.open = true;
  }
}

function moveFocus() {
  const main = document.querySelector("main");
  const said = (role) => [...main.querySelectorAll(`[role="${role}"]`)].find((element) => element.textContent.trim());
  const target = main.querySelector('[aria-invalid="true"]') ?? said("alert") ?? said("status")
    ?? main.querySelector("h1") ?? main;
  if (target.matches("input, textarea, select")) {
    target.focus();
    // What is typed next takes the place of the wrong password, which cannot be read to be mended.
    if (target.type === "password") target.select();
  } else {
    target.tabIndex = -1;
    target.focus();
  }
}

/** Shows an error of a whole form, in it. Nothing else changes, so nothing is lost. */
function tell(form, text) {
  const place = form.closest("main") ? form : document.querySelector("main");
  let alert = place.querySelector('[role="alert"]');
  if (!alert) {
    alert = document.createElement("p");
    alert.setAttribute("role", "alert");
    alert.tabIndex = -1;
    place.prepend(alert);
  }
  alert.textContent = text;
  alert.focus();
  return false;
}

/** Adds the stylesheets that are not there yet, and waits for them so that nothing jumps. */
function addStyles(head) {
  const links = missing(head, "link", "href", '[rel="stylesheet"]');
  return Promise.all(links.map((href) => new Promise((done) => {
    const link = document.createElement("link");
    Object.assign(link, { rel: "stylesheet", href, onload: done, onerror: done });
    document.head.append(link);
  })));
}

function addScripts(head) {
  for (const src of missing(head, "script", "src", '[type="module"]')) {
    document.head.append(Object.assign(document.createElement("script"), { type: "module", src }));
  }
}

function missing(head, name, attribute, selector) {
  const all = (root) => [...root.querySelectorAll(name + selector)].map((element) => element.getAttribute(attribute));
  const present = all(document.head);
  return all(head).filter((url) => url && !present.includes(url));
}

// Passwords

/** Loads what gives advice on a new password, once there is one to give advice on. */
async function typed({ target }) {
  if (!target.matches?.("[data-meter]")) return;
  // Without it the form does all that it did.
  const meter = await import("./meter.js").catch(() => null);
  meter?.advise(target);
}

function clicked({ target }) {
  const button = target.closest?.("[data-reveal]");
  if (button) reveal(button, fieldOf(button).type === "password");
}

/** No password is sent, or left behind, in a field that shows it: a browser would offer it as a text typed before. */
function conceal() {
  for (const button of document.querySelectorAll("[data-reveal]")) {
    if (fieldOf(button)?.type === "text") reveal(button, false);
  }
}

function fieldOf(button) {
  return document.getElementById(button.dataset.reveal);
}

function reveal(button, isShown) {
  const { dataset } = button;
  dataset.show ??= button.textContent;
  dataset.showLabel ??= button.getAttribute("aria-label");
  fieldOf(button).type = isShown ? "text" : "password";
  button.textContent = isShown ? dataset.hide : dataset.show;
  button.setAttribute("aria-label", isShown ? dataset.hideLabel : dataset.showLabel);
}
