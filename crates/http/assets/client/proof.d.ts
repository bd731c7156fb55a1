/**
 * Solves a challenge for a proof of work and gives what the header `Doorward-Proof` takes. Takes seconds where the
 * difficulty is high, in a worker where there may be one.
 *
 * @throws {RangeError} for a difficulty that nobody can solve
 */
export declare function solve(challenge: string, difficulty: number): Promise<string>;
