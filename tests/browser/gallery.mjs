// Pictures of every page in both schemes and three widths, for people to look at.
//
// Needs a fresh service with open registration and the task list.
// GALLERY  the folder that the pictures are put into, made when there is none
// ONLY     the names of views to take, with commas; all unless given
// DOORWARD_URL, DOORWARD_MAIL, CHROMIUM, CHECK: see harness.mjs.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { check, required, run } from "./harness.mjs";
import { views, walk, world } from "./views.mjs";

const FOLDER = required("GALLERY");
const only = process.env.ONLY?.split(",");
const chosen = views.filter(({ name }) => !only || only.includes(name));
mkdirSync(FOLDER, { recursive: true });

for (const scheme of ["light", "dark"]) {
  for (const width of [320, 768, 1280]) {
    check(`pictures, ${scheme}, ${width} px`, async (stage) => {
      const given = await world();
      await walk(stage, { scheme, width, height: width === 320 ? 640 : 800 }, given, async (page, { name }) => {
        const path = join(FOLDER, `${name}-${scheme}-${width}.png`);
        await page.screenshot({ path, fullPage: true, animations: "disabled" });
      }, chosen);
    }, { seconds: 240 });
  }
}

await run();
