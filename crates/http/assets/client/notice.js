const TEXTS = {
  title: "Your session is about to end",
  text: "You will be logged out in less than {time}.",
  stay: "Stay logged in",
  logOut: "Log out",
  last: "Your session cannot be extended any more. Please log in again.",
  ended: "Your session has ended. Please log in again.",
  failed: "That did not work. Check your connection and try again.",
  close: "Close",
};

/** The seconds before the end at which the time is announced once more. */
const LAST_CALL = 30;

/** Shows a notice before the client's session ends. Returns what takes it away for good. */
export function attachNotice(client, options = {}) {
  const texts = { ...TEXTS, ...options.texts };
  const root = () => options.root ?? document.body;
  let shown;

  const stops = [
    client.onExpiring((expiring) => {
      shown?.remove();
      shown = show(expiring);
    }),
    client.onChange((user) => shown?.follow(user)),
  ];

  function show(expiring) {
    const box = element("section", "");
    const title = element("p", "title", texts.title);
    const text = element("p", "text");
    // It ticks for the eye alone; `text` is what is read out, and says nothing that stops being true.
    const clock = element("p", "time");
    const actions = element("p", "actions");
    const stay = button("stay", texts.stay, extend);
    const leave = button("logout", texts.logOut, logOut);
    let timer, cameFrom, leaving, busy, over;
    let announced = Infinity;
    let before = Infinity;

    box.setAttribute("role", "alertdialog");
    box.setAttribute("aria-modal", "false");
    box.setAttribute("aria-labelledby", (title.id = "doorward-notice-title"));
    box.setAttribute("aria-describedby", (text.id = "doorward-notice-text"));
    box.tabIndex = -1;
    box.addEventListener("focusin", ({ relatedTarget }) => {
      if (!box.contains(relatedTarget)) cameFrom = relatedTarget;
    });
    text.setAttribute("aria-live", "polite");
    clock.setAttribute("role", "timer");
    clock.setAttribute("aria-live", "off");
    actions.append(stay, leave);
    box.append(title, text, clock, actions);
    root().append(box);
    // A live region is read out when it changes, not when it appears.
    timer = setTimeout(tick, 100);

    function tick() {
      const left = expiring.secondsLeft;
      // Extended by another tab, or by what the user does on the page.
      if (left > before + 1) return remove();
      before = left;
      // The page may have replaced its body.
      if (!box.isConnected) root().append(box);
      clock.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
      if (announced === Infinity || (left <= LAST_CALL && announced > LAST_CALL)) {
        announced = left;
        say(texts.text.replace("{time}", inWords(left)));
      }
      timer = setTimeout(tick, 1000);
    }

    function say(words) {
      text.textContent = words;
    }

    /** There is nothing to stay in any more. */
    function settle(words) {
      say(words);
      announced = 0;
      if (box.contains(document.activeElement)) box.focus();
      stay.remove();
    }

    /** Does one thing at a time, and says so when it fails. */
    async function attempt(work) {
      if (busy) return;
      busy = true;
      box.setAttribute("aria-busy", "true");
      try {
        await work();
      } catch {
        leaving = false;
        say(texts.failed);
      } finally {
        busy = false;
        box.removeAttribute("aria-busy");
      }
    }

    function extend() {
      return attempt(async () => {
        if (await expiring.extend()) remove();
        else if (!over) settle(texts.last);
      });
    }

    function logOut() {
      return attempt(async () => {
        leaving = true;
        await client.logOut();
        remove();
      });
    }

    function follow(user) {
      if (user ? over : leaving) remove();
      if (user || leaving) return;
      over = true;
      clearTimeout(timer);
      settle(texts.ended);
      clock.remove();
      leave.replaceWith(button("close", texts.close, remove));
    }

    function remove() {
      clearTimeout(timer);
      const focused = box.contains(document.activeElement);
      box.remove();
      if (focused) cameFrom?.focus();
      if (shown === handle) shown = undefined;
    }

    const handle = { follow, remove };
    return handle;
  }

  return () => {
    for (const stop of stops) stop();
    shown?.remove();
  };
}

function element(tag, part, text = "") {
  const made = document.createElement(tag);
  made.className = part ? `doorward-notice-${part}` : "doorward-notice";
  made.textContent = text;
  return made;
}

function button(part, text, act) {
  const made = element("button", part, text);
  made.type = "button";
  made.addEventListener("click", () => void act());
  return made;
}

/** In the page's language: "2 minutes", "30 seconds". */
function inWords(seconds) {
  const [count, unit] = seconds > 60 ? [Math.ceil(seconds / 60), "minute"] : [Math.max(1, seconds), "second"];
  const language = document.documentElement.lang || undefined;
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long" }).format(count);
}
