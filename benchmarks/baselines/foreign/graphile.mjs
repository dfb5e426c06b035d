// The tasks of the benchmarks on Graphile Worker; its tasks are async functions.

import { fileURLToPath } from "node:url";
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { BROKER, main } from "./bench.mjs";

const CONCURRENCY = 24;
const logger = new Logger(() => () => {});
const preset = {
  worker: {
    connectionString: BROKER,
    concurrentJobs: CONCURRENCY,
    maxPoolSize: CONCURRENCY + 2,
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
    localQueue: { size: 500 },
    logger,
  },
};

async function subject() {
  const utils = await makeWorkerUtils({ preset });
  await utils.migrate();
  return {
    send: (task, sent) => utils.addJob(task, { sent: String(sent) }),
    sendMany: (task, count) =>
      utils.addJobs(Array.from({ length: count }, () => ({ identifier: task, payload: { sent: "0" } }))),
    left: () =>
      utils.withPgClient(async (client) => {
        const { rows } = await client.query("select count(*)::int as left from graphile_worker.jobs");
        return rows[0].left;
      }),
    close: () => utils.release(),
  };
}

async function work(tally) {
  const taskList = {
    noop: async () => tally.hit(),
    async_noop: async () => tally.hit(),
    stamp: async (payload) => tally.stamp(payload.sent),
  };
  const runner = await run({ preset, taskList, noHandleSignals: true });
  return () => runner.stop();
}

await main(fileURLToPath(import.meta.url), { subject, work });
