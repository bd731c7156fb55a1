// Makes the list of tasks live: what the user does shows at once, goes to the JSON API, and is taken back when refused.

import { DoorwardError } from "./doorward.js";
import { rename, session } from "./pages.js";

const BOX = "[type=checkbox]";
const NOTE = "[data-description]";

async function send(method, path, body, version) {
  const headers = { "Content-Type": "application/json" };
  if (version) headers["If-Match"] = `"${version}"`;
  // Kept alive: a change that shows as made has to arrive even if the page is left.
  const init = { method, headers, body: body && JSON.stringify(body), keepalive: method !== "GET" };
  // Without a slash in front, which would leave out the path that the service may be under.
  const response = await session().fetch(`api/users/me/tasks${path}`, init);
  if (!response.ok) throw await DoorwardError.from(response);
  return response.status === 204 ? null : response.json();
}

function request({ id, version }, patch) {
  if (patch.deleted) return send("DELETE", `/${id}`, null, version);
  if ("completed" in patch) return send("PATCH", `/${id}/complete`, patch, version);
  return id ? send("PUT", `/${id}`, patch, version) : send("POST", "", patch);
}

function enliven(root) {
  const list = root.querySelector(".list");
  const create = root.querySelector(".new");
  const more = root.querySelector(".more");
  const template = (name) => root.querySelector(`template[data-part=${name}]`).content;
  const copy = (name) => template(name).firstElementChild.cloneNode(true);

  function text(code, values) {
    const found = template("texts").getElementById(code);
    return found?.textContent.replace(/\{(\w+)\}/g, (all, name) => values?.[name] ?? all);
  }
  // An error without a status is not the server's.
  const reason = (error) => text(error.code) ?? text(error.status ? "internal" : "offline");
  const say = (...texts) => (root.querySelector(".said").textContent = texts.join(" "));

  // A row has the task as the server last gave it, and the changes on their way, which are shown over it: leaving one
  // out takes it back, whatever came before or after it.
  const rows = new Map();
  const rowOf = (node) => rows.get(node.closest(".task"));
  const part = (row, selector) => row.item.querySelector(selector);
  const shown = (row) => Object.assign({}, row.task, ...row.pending);
  // The focus is moved only from where something happens, or from nowhere.
  const mayFocus = (place) => place.contains(document.activeElement) || document.activeElement === document.body;

  function add(item, task) {
    const row = { item, task, pending: [], mine: [], queue: Promise.resolve() };
    rows.set(item, row);
    show(row);
    return row;
  }

  function show(row) {
    const { id, title, description, completed, deleted } = shown(row);
    for (const node of row.item.querySelectorAll("[data-title]")) node.textContent = title;
    part(row, NOTE).textContent = description;
    part(row, BOX).checked = completed;
    if (id) part(row, "[data-act=edit]").href = `${create.getAttribute("action")}/${id}`;
    row.item.hidden = !!deleted;
  }

  function remove(row) {
    leave(row);
    rows.delete(row.item);
    row.item.remove();
  }

  // Moves the focus out of a row that goes, to the nearest that stays.
  function leave({ item }) {
    if (!item.contains(document.activeElement)) return;
    const boxes = [...list.querySelectorAll(`.task:not([hidden]) ${BOX}`)];
    const at = boxes.findIndex((box) => item.contains(box));
    (boxes[at + 1] ?? boxes[at - 1] ?? create.elements.title).focus();
  }

  // Changes of one task go one after the other, each with the version that the one before it has made.
  function change(row, patch) {
    say();
    row.pending.push(patch);
    if (patch.deleted) leave(row);
    show(row);
    row.queue = row.queue.then(async () => {
      // Given up together with one before it.
      if (!row.pending.includes(patch)) return;
      const isNew = !row.task.id;
      try {
        const task = await request(row.task, patch);
        if (task) row.task = task;
        row.pending.shift();
        if (patch.deleted) remove(row);
        else show(row);
        say(text(isNew ? "added" : patch.deleted ? "deleted" : "saved", row.task));
      } catch (error) {
        await refused(row, patch, error);
      }
    });
  }

  async function refused(row, patch, error) {
    if (error.status === 412) {
      try {
        return explain(row, await send("GET", `/${row.task.id}`));
      } catch (another) {
        error = another;
      }
    }
    const wanted = shown(row);
    const isNew = !row.task.id;
    row.pending.shift();
    // What was to follow goes with a task that is not there.
    if (isNew || error.status === 404) row.pending = [];
    if (error.status === 404) {
      const form = part(row, ".edit");
      const typed = form ? typedInto(form) : patch;
      remove(row);
      return say(text("gone", wanted), "title" in typed && refill(typed) ? text("kept") : "");
    }
    show(row);
    say(text(isNew ? "not_added" : "not_saved", wanted), reason(error));
    if (!("title" in patch)) return;
    const errors = error.code === "quota_exceeded" ? { title: reason(error) } : {};
    for (const { field, code } of error.errors ?? []) errors[field] = text(code) ?? text("internal");
    const isBack = isNew && refill(patch);
    complain(isBack ? create : edit(row, patch), errors);
    if (isBack) remove(row);
  }

  // Puts what was typed into the form for a new task, unless something else is there by now.
  function refill(typed) {
    if (Object.values(typedInto(create)).some(Boolean)) return false;
    write(create, typed);
    if (mayFocus(create)) create.elements.title.focus();
    return true;
  }

  function complain(form, errors) {
    for (const note of form.querySelectorAll("[data-error]")) {
      const { error } = note.dataset;
      note.textContent = errors[error] ?? "";
      form.elements[error].setAttribute("aria-invalid", error in errors);
    }
  }

  // Lets the user choose between a task as it was made elsewhere and as they meant it to be.
  function explain(row, task) {
    row.task = task;
    // All that was on its way was meant for another version.
    row.mine.push(...row.pending.splice(0));
    part(row, ".conflict")?.remove();
    const panel = copy("conflict");
    const describe = (side, { title, description, completed, deleted }) => {
      const state = text(deleted ? "state_deleted" : completed ? "state_done" : "state_open");
      panel.querySelector(side).textContent = [title, description, state].filter(Boolean).join("\n");
    };
    describe(".now", task);
    describe(".mine", Object.assign({}, task, ...row.mine));
    row.item.append(panel);
    show(row);
    say(text("changed_elsewhere", task));
    if (mayFocus(row.item)) panel.focus();
  }

  function decide(row, isMine) {
    part(row, ".conflict").remove();
    part(row, BOX).focus();
    for (const patch of row.mine.splice(0)) if (isMine) change(row, patch);
  }

  function typedInto({ elements: { title, description } }) {
    return { title: title.value, description: description.value || null };
  }

  function write({ elements }, { title, description }) {
    elements.title.value = title;
    elements.description.value = description;
  }

  // Opens a row's form with these values, unless it is open.
  function edit(row, values) {
    const open = part(row, ".edit");
    if (open) return open;
    const form = copy("edit");
    write(form, values);
    row.item.append(form);
    show(row);
    if (mayFocus(row.item)) form.elements.title.focus();
    return form;
  }

  function closeEdit(row) {
    // A new task that was refused is nowhere but in the form.
    if (!row.task.id && !row.pending.length) return remove(row);
    part(row, ".edit").remove();
    part(row, "[data-act=edit]").focus();
  }

  const submits = {
    create(_, form) {
      const patch = typedInto(form);
      complain(form, {});
      // Not reset(), which brings back what the server put there.
      write(form, { title: "", description: "" });
      form.elements.title.focus();
      const row = add(copy("row"), { completed: false });
      list.prepend(row.item);
      change(row, patch);
    },
    edit(row, form) {
      const patch = typedInto(form);
      const { title, description } = shown(row);
      if (patch.title !== title || patch.description !== description) change(row, patch);
      closeEdit(row);
    },
    complete: (row) => change(row, { completed: !shown(row).completed }),
    delete(row, form) {
      form.parentElement.open = false;
      change(row, { deleted: true });
    },
  };

  const on = root.addEventListener.bind(root);

  // Captured, to be there before the handler that sends every form.
  on("submit", (event) => {
    const form = event.target;
    event.preventDefault();
    event.stopImmediatePropagation();
    submits[form.dataset.form](rowOf(form), form);
  }, true);

  on("change", ({ target }) => {
    if (target.type === "checkbox") change(rowOf(target), { completed: target.checked });
  });

  on("keydown", ({ key, target, isComposing }) => {
    if (key !== "Escape" || isComposing) return;
    const details = target.closest(".task details[open]");
    if (target.closest(".edit")) closeEdit(rowOf(target));
    details?.firstElementChild.focus();
    details?.removeAttribute("open");
  });

  // Of several lists that are asked for, the last counts.
  let loads = 0;
  async function load(link) {
    const number = ++loads;
    try {
      const page = await send("GET", link.search);
      if (number === loads) fill(page, link);
    } catch (error) {
      if (number === loads) say(text("not_loaded"), reason(error));
    }
  }

  function fill(page, link) {
    if (link !== more) choose(link);
    const known = new Set([...rows.values()].map(({ task }) => task.id));
    const added = page.tasks.filter(({ id }) => !known.has(id)).map((task) => add(copy("row"), task).item);
    list.append(...added);
    if (document.activeElement === more) added[0]?.querySelector(BOX).focus();
    const query = new URLSearchParams(link.search);
    query.set("cursor", page.next_cursor);
    more.search = query;
    more.hidden = !page.next_cursor;
    watch();
  }

  function choose(filter) {
    for (const link of filter.parentElement.children) link.ariaCurrent = link === filter ? "true" : null;
    rename(filter.href);
    // What is unsaved, being written or to be decided stays.
    for (const row of [...rows.values()]) {
      if (!row.pending.length && !part(row, ".edit, .conflict")) remove(row);
    }
    say(text("showing", { filter: filter.textContent }));
  }

  const near = (entries) => entries.at(-1).isIntersecting && load(more);
  const observer = new IntersectionObserver(near, { rootMargin: "400px" });

  // Anew after each page: the link may still be in sight. After an error, it waits to be followed.
  function watch() {
    observer.unobserve(more);
    observer.observe(more);
  }

  const clicks = {
    filter: (_, link) => load(link),
    more: () => load(more),
    edit: (row) => edit(row, shown(row)).elements.title.focus(),
    cancel: closeEdit,
    overwrite: (row) => decide(row, true),
    yield: (row) => decide(row, false),
  };

  on("click", (event) => {
    const target = event.target.closest("[data-act]");
    // With a key held down, a link opens elsewhere.
    if (!target || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    clicks[target.dataset.act](rowOf(target), target);
  });

  for (const item of list.children) {
    const { task: id, version } = item.dataset;
    const [title, description] = ["[data-title]", NOTE].map((name) => item.querySelector(name).textContent);
    // As it was sent: a browser may have put it back to what it was before a reload.
    const completed = item.querySelector(BOX).defaultChecked;
    add(item, { id, version, title, description: description || null, completed });
  }
  root.classList.add("live");
  watch();
}

function start() {
  for (const root of document.querySelectorAll("[data-tasks]:not(.live)")) enliven(root);
}

document.addEventListener("doorward:page", start);
start();
