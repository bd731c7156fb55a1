// Advice on a new password while it is typed: how strong it is, and what would make it stronger. It keeps nobody from
// anything, and nothing of it leaves the page. Loaded with the first character of such a password.

import { zxcvbn } from "./zxcvbn.js";

/** Milliseconds without a key until there is advice, so that nobody is read a score for each letter. */
const PAUSE = 400;
/** How many characters are looked at; the time that it takes grows faster than they do, and these are enough. */
const LONGEST = 40;
/** From this score on there is nothing to be said. */
const GOOD = 3;

/** The text for each kind of warning. */
const ADVICE = {
  topTen: "common",
  topHundred: "common",
  common: "common",
  similarToCommon: "common",
  wordByItself: "word",
  namesByThemselves: "names",
  commonNames: "names",
  userInputs: "own",
  recentYears: "dates",
  dates: "dates",
  straightRow: "keys",
  keyPattern: "keys",
  simpleRepeat: "repeats",
  extendedRepeat: "repeats",
  sequences: "sequences",
};

const timers = new WeakMap();
const loaded = new Map();

/** Says what it thinks of the password in a field, once nobody types any more. */
export function advise(field) {
  clearTimeout(timers.get(field));
  timers.set(field, setTimeout(() => show(field).catch(() => {}), PAUSE));
}

async function show(field) {
  const password = field.value;
  const texts = await textsOf(document.documentElement.lang);
  const place = document.getElementById(`${field.id}-meter`);
  if (!place || field.value !== password) return;
  if (!password) {
    place.replaceChildren();
    return;
  }
  const { score, feedback } = zxcvbn(password.slice(0, LONGEST), known(field));
  const advice = score < GOOD ? ` ${texts[ADVICE[feedback.warning] ?? "more"]}` : "";
  const [bar, words] = place.children.length ? place.children : parts(place);
  bar.value = score;
  const text = `${texts.label}: ${texts[`score_${score}`]}.${advice}`;
  // What has not changed is not read out again.
  if (words.textContent !== text) words.textContent = text;
}

function parts(place) {
  // Seen by those who see; everybody else is told the words.
  const bar = Object.assign(document.createElement("meter"), { min: 0, max: 4, low: 2, high: GOOD, optimum: 4 });
  bar.setAttribute("aria-hidden", "true");
  const words = document.createElement("span");
  place.append(bar, words);
  return [bar, words];
}

/** What others know of whoever types: the service's name, and what else stands in the form. */
function known(field) {
  const others = field.form.querySelectorAll('[type="email"], [autocomplete="username"], [name="name"]');
  const all = [field.dataset.meter, ...[...others].map((other) => other.value)];
  return [...new Set(all.flatMap((text) => [text, ...text.split(/[^\p{L}\p{N}]+/u)]))].filter((text) => text.length > 2);
}

function textsOf(language) {
  if (!loaded.has(language)) {
    const texts = fetch(new URL(`meter.${language}.json`, import.meta.url)).then((response) => response.json());
    // Another try may have more luck.
    texts.catch(() => loaded.delete(language));
    loaded.set(language, texts);
  }
  return loaded.get(language);
}
