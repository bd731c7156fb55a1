// Proofs of work. Loaded only where Doorward asks for one.

/** The name of a worker that solves; a file that is loaded elsewhere does nothing by itself. */
const WORKER = "doorward-proof";
/** Milliseconds of work in one go where there is no worker, and how many digests there are between looks at the clock. */
const SLICE = 20;
const STEP = 1000;

/**
 * Finds the number with which the SHA-256 of `${challenge}.${number}` begins with as many zero bits as `difficulty` says,
 * and gives both, as Doorward takes them in the header `Doorward-Proof`. In a worker where there may be one, else in slices
 * that leave a page its turn.
 */
export async function solve(challenge, difficulty) {
  if (!(difficulty >= 0 && difficulty <= 32)) throw new RangeError(`${difficulty} bits cannot be solved`);
  const number = (await inWorker(challenge, difficulty)) ?? (await inSlices(challenge, difficulty));
  return `${challenge}.${number}`;
}

/** The number; undefined where there is no worker, as on another origin's page. */
function inWorker(challenge, difficulty) {
  return new Promise((resolve) => {
    let worker;
    const end = (number) => {
      worker?.terminate();
      resolve(number);
    };
    try {
      worker = new Worker(new URL("./proof.js", import.meta.url), { type: "module", name: WORKER });
      worker.onmessage = ({ data }) => end(data);
      worker.onerror = (event) => {
        event.preventDefault();
        end();
      };
      worker.postMessage([challenge, difficulty]);
    } catch {
      end();
    }
  });
}

async function inSlices(challenge, difficulty) {
  const search = searcher(challenge, difficulty);
  for (;;) {
    const end = performance.now() + SLICE;
    do {
      const number = search(STEP);
      if (number !== undefined) return number;
    } while (performance.now() < end);
    await new Promise((resolve) => setTimeout(resolve));
  }
}

if (globalThis.WorkerGlobalScope && globalThis.name === WORKER) {
  globalThis.onmessage = ({ data: [challenge, difficulty] }) => {
    const search = searcher(challenge, difficulty);
    let number;
    while (number === undefined) number = search(STEP);
    globalThis.postMessage(number);
  };
}

/** What tries so many numbers more each time, and gives the one that solves it. */
function searcher(challenge, difficulty) {
  const text = new TextEncoder().encode(`${challenge}.`);
  // The blocks in front of the number are the same each time.
  const whole = text.length - (text.length % 64);
  const before = START.slice();
  for (let at = 0; at < whole; at += 64) compress(before, text, at);
  const tail = new Uint8Array(128);
  tail.set(text.subarray(whole));
  const begin = text.length - whole;
  const state = new Int32Array(8);
  let number = 0;

  return (tries) => {
    for (; tries > 0; tries--, number++) {
      const digits = String(number);
      let end = begin;
      for (let i = 0; i < digits.length; i++) tail[end++] = digits.charCodeAt(i);
      const length = end + 9 > 64 ? 128 : 64;
      tail.fill(0, end);
      tail[end] = 0x80;
      const bits = (whole + end) * 8;
      for (let i = 1; i <= 4; i++) tail[length - i] = bits >>> (8 * (i - 1));
      state.set(before);
      for (let at = 0; at < length; at += 64) compress(state, tail, at);
      if (difficulty === 0 || state[0] >>> (32 - difficulty) === 0) return number;
    }
  };
}

// SHA-256 (FIPS 180-4). WebCrypto has it as well, and answers each call only after a turn of the event loop.

const ROUNDS = new Int32Array(64);
const START = new Int32Array(8);
const words = new Int32Array(64);

// The first 32 bits of the fractional parts of the cube and square roots of the first primes.
for (let candidate = 2, count = 0; count < 64; candidate++) {
  let isPrime = true;
  for (let divisor = 2; divisor * divisor <= candidate; divisor++) isPrime &&= candidate % divisor !== 0;
  if (!isPrime) continue;
  if (count < 8) START[count] = fraction(Math.sqrt(candidate));
  ROUNDS[count++] = fraction(Math.cbrt(candidate));
}

function fraction(root) {
  return (root - Math.floor(root)) * 2 ** 32;
}

/** Takes a block of 64 bytes into a state. */
function compress(state, bytes, at) {
  for (let i = 0; i < 16; i++) {
    const from = at + 4 * i;
    words[i] = (bytes[from] << 24) | (bytes[from + 1] << 16) | (bytes[from + 2] << 8) | bytes[from + 3];
  }
  for (let i = 16; i < 64; i++) {
    const early = words[i - 15];
    const late = words[i - 2];
    const s0 = turn(early, 7) ^ turn(early, 18) ^ (early >>> 3);
    const s1 = turn(late, 17) ^ turn(late, 19) ^ (late >>> 10);
    words[i] = (words[i - 16] + s0 + words[i - 7] + s1) | 0;
  }
  // Taken apart one by one: as a list they take twice as long.
  let a = state[0];
  let b = state[1];
  let c = state[2];
  let d = state[3];
  let e = state[4];
  let f = state[5];
  let g = state[6];
  let h = state[7];
  for (let i = 0; i < 64; i++) {
    const choice = (e & f) ^ (~e & g);
    const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + choice + ROUNDS[i] + words[i]) | 0;
    const majority = (a & b) ^ (a & c) ^ (b & c);
    const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + majority) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + one) | 0;
    d = c;
    c = b;
    b = a;
    a = (one + two) | 0;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
}

function turn(word, bits) {
  return (word >>> bits) | (word << (32 - bits));
}
