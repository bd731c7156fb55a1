import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { DoorwardError } from "../../crates/http/assets/client/doorward.js";
import { problem } from "./server.mjs";

describe("DoorwardError", () => {
  test("it says all that the problem says", async () => {
    const errors = [{ field: "password", code: "too_short", detail: "At least 8 characters" }];
    const error = await DoorwardError.from(problem(422, "validation_failed", { errors }, { "Retry-After": "3" }));
    assert.ok(error instanceof Error);
    assert.deepEqual(
      { ...error },
      { name: "DoorwardError", status: 422, code: "validation_failed", detail: "About validation_failed", requestId: "r-1", errors, retryAfter: 3 },
    );
    assert.equal(error.message, "About validation_failed");
  });

  test("it makes do with whatever else is answered", async () => {
    for (const body of ["<h1>Bad gateway</h1>", "", "null", '"text"', "7", "[1]", '{"errors":"x"}']) {
      const error = await DoorwardError.from(new Response(body, { status: 502, headers: { "X-Request-Id": "r-2", "Retry-After": "Thu, 01 Jan 2026 00:00:00 GMT" } }));
      assert.equal(error.message, "HTTP status 502");
      assert.deepEqual([error.code, error.detail, error.requestId, error.errors, error.retryAfter], ["unknown", "", "r-2", [], undefined]);
    }
  });
});
