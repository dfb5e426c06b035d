// The sending side and the notes of a measurement, for systems of Node.js: what benchmarks/producer.py and
// benchmarks/tally.py are for those of Python. Times are of CLOCK_MONOTONIC, in nanoseconds.

import { fork } from "node:child_process";
import { readdirSync, readFileSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";

export const BROKER = process.env.CELERIAC_BENCH_BROKER;
export const PROCESSES = 2;
const FOLDER = process.env.CELERIAC_BENCH_DIR;
const BULK = 1000;
const WARM_UP = 50;
const PATIENCE = 20_000;
const WRITTEN_EVERY = 10;

const now = () => process.hrtime.bigint();
const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// Notes that tasks ran. A count is written down some milliseconds later, with the times at which the tasks ran.
export class Tally {
  #count = 0n;
  #first = 0n;
  #last = 0n;
  #written = 0n;
  #counts = null;
  #stamps = null;

  constructor() {
    setInterval(() => this.write(), WRITTEN_EVERY).unref();
  }

  hit() {
    this.#last = now();
    if (this.#count === 0n) this.#first = this.#last;
    this.#count += 1n;
  }

  stamp(sent) {
    const ran = now();
    this.#stamps ??= openSync(join(FOLDER, `stamps-${process.pid}`), "a");
    const pair = Buffer.alloc(16);
    pair.writeBigUInt64LE(BigInt(sent), 0);
    pair.writeBigUInt64LE(ran, 8);
    writeSync(this.#stamps, pair);
  }

  write() {
    if (this.#count === this.#written) return;
    this.#counts ??= openSync(join(FOLDER, `counts-${process.pid}`), "w");
    const row = Buffer.alloc(24);
    [this.#count, this.#first, this.#last].forEach((value, place) => row.writeBigUInt64LE(value, 8 * place));
    writeSync(this.#counts, row, 0, 24, 0);
    this.#written = this.#count;
  }
}

function stamps(since) {
  const found = [];
  for (const name of readdirSync(FOLDER).filter((one) => one.startsWith("stamps-"))) {
    const raw = readFileSync(join(FOLDER, name));
    for (let at = 0; at + 16 <= raw.length; at += 16) {
      const pair = [raw.readBigUInt64LE(at), raw.readBigUInt64LE(at + 8)];
      if (pair[0] >= since) found.push(pair);
    }
  }
  return found;
}

async function waitFor(count, since) {
  const until = Date.now() + PATIENCE;
  for (;;) {
    const found = stamps(since);
    if (found.length >= count) return found;
    if (Date.now() > until) throw new Error(`only ${found.length} of ${count} tasks had run`);
    await sleep(20);
  }
}

// The commands of benchmarks/producer.py; `subject` sends one, sends many and counts what is left.
const COMMANDS = {
  async preload(subject, task, count) {
    for (let sent = 0; sent < Number(count); sent += BULK) {
      await subject.sendMany(task, Math.min(BULK, Number(count) - sent));
    }
    return "";
  },
  async single(subject, task, seconds) {
    for (let call = 0; call < WARM_UP; call += 1) await subject.send(task, 0);
    const began = now();
    let calls = 0;
    while (now() - began < BigInt(Math.round(Number(seconds) * 1e9))) {
      await subject.send(task, 0);
      calls += 1;
    }
    return (calls * 1e9) / Number(now() - began);
  },
  async bulk(subject, task, seconds) {
    await subject.sendMany(task, WARM_UP);
    const began = now();
    let sent = 0;
    while (now() - began < BigInt(Math.round(Number(seconds) * 1e9))) {
      await subject.sendMany(task, BULK);
      sent += BULK;
    }
    return (sent * 1e9) / Number(now() - began);
  },
  async latency(subject, samples) {
    await subject.send("stamp", now());
    await waitFor(1, 0n);
    await sleep(500);
    const first = now();
    for (let sample = 0; sample < Number(samples); sample += 1) {
      await subject.send("stamp", now());
      await sleep(200 + 100 * Math.random());
    }
    const found = await waitFor(Number(samples), first);
    return found.map(([sent, ran]) => Number(ran - sent) / 1e6);
  },
  async check(subject) {
    return { left: await subject.left(), state: null };
  },
};

async function workers(script) {
  const children = Array.from({ length: PROCESSES }, () => fork(script, ["work"]));
  const ended = Promise.all(children.map((child) => new Promise((done) => child.on("exit", done))));
  for (const signal of ["SIGTERM", "SIGINT"]) {
    process.on(signal, () => children.forEach((child) => child.kill("SIGTERM")));
  }
  await ended;
}

// Runs one command, or the worker's processes. `work` starts a worker and returns what ends it.
export async function main(script, { subject, work }) {
  const [command, ...words] = process.argv.slice(2);
  if (command === "worker") {
    await workers(script);
  } else if (command === "work") {
    const tally = new Tally();
    const end = await work(tally);
    process.once("SIGTERM", async () => {
      await end();
      tally.write();
      process.exit(0);
    });
  } else {
    const one = await subject();
    console.log(JSON.stringify(await COMMANDS[command](one, ...words)));
    await one.close();
    process.exit(0);
  }
}
