// The tasks of the benchmarks on BullMQ; its tasks are async functions.

import { fileURLToPath } from "node:url";
import { Queue, Worker } from "bullmq";
import IORedis from "ioredis";
import { BROKER, main } from "./bench.mjs";

const CONCURRENCY = 100;
const OPTIONS = { removeOnComplete: true, removeOnFail: true };
const connect = () => new IORedis(BROKER, { maxRetriesPerRequest: null });

async function subject() {
  const connection = connect();
  const queue = new Queue("bench", { connection });
  return {
    send: (task, sent) => queue.add(task, { sent: String(sent) }, OPTIONS),
    sendMany: (task, count) =>
      queue.addBulk(Array.from({ length: count }, () => ({ name: task, data: { sent: "0" }, opts: OPTIONS }))),
    left: async () => {
      const counts = await queue.getJobCounts("wait", "active", "delayed", "failed", "prioritized");
      return Object.values(counts).reduce((sum, one) => sum + one, 0);
    },
    close: async () => {
      await queue.close();
      connection.disconnect();
    },
  };
}

async function work(tally) {
  const run = async (job) => {
    if (job.name === "stamp") tally.stamp(job.data.sent);
    else tally.hit();
  };
  const worker = new Worker("bench", run, { connection: connect(), concurrency: CONCURRENCY });
  await worker.waitUntilReady();
  return () => worker.close();
}

await main(fileURLToPath(import.meta.url), { subject, work });
