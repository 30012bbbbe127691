// BullMQ on Node.js with undici: `node bullmq.mjs work`; `node bullmq.mjs send` sends jobs from its input.
// A job's result is kept in Redis by the same step that completes the job, which BullMQ does by itself.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import { Pool } from "undici";

const env = process.env;
const tokens = JSON.parse(readFileSync(env.BENCH_TOKENS, "utf8"));
const perSecond = Number(env.BENCH_PER_SECOND ?? 0);
const connections = Number(env.BENCH_THREADS);
// As many calls at once as others have threads; more jobs, as some wait for Redis meanwhile.
const concurrency = 4 * connections;
const connection = new Redis(env.BENCH_REDIS_URL, { maxRetriesPerRequest: null });
const options = { attempts: perSecond ? 1000 : 3, backoff: { type: "fixed", delay: 1000 } };
// Its limiter is one for each queue (groups within a queue are sold apart), so that with limits each shop has a queue.
const queueOf = (shop) => (perSecond ? `refer-${shop}` : "refer");

async function send() {
  const queues = new Map();
  const take = async (jobs) => {
    for (const name of new Set(jobs.map((job) => queueOf(job.shop)))) {
      if (!queues.has(name)) queues.set(name, new Queue(name, { connection }));
      const its = jobs.filter((job) => queueOf(job.shop) === name);
      await queues.get(name).addBulk(its.map((data) => ({ name: "refer", data, opts: options })));
    }
  };
  let waiting = [];
  for await (const line of createInterface({ input: process.stdin })) {
    waiting.push(JSON.parse(line));
    if (waiting.length === 500) await take(waiting.splice(0));
  }
  await take(waiting);
  await Promise.all([...queues.values()].map((queue) => queue.close()));
  connection.disconnect();
}

function work() {
  const ca = env.BENCH_CA_FILE ? readFileSync(env.BENCH_CA_FILE) : undefined;
  const api = new Pool(env.BENCH_API_URL, { connections, pipelining: 1, connect: { ca } });
  const refer = async ({ data: job, attemptsMade }) => {
    const called = new Date();
    const { statusCode: status, body } = await api.request({
      method: "POST",
      path: `/api/v2023061/${job.shop}/Refer2`,
      headers: { authorization: `Bearer ${tokens[job.shop]}`, "content-type": "application/json" },
      body: JSON.stringify({ customer: job.customer, channel: job.channel }),
      bodyTimeout: 12_000,
      headersTimeout: 12_000,
    });
    const { message, referral, share_action } = await body.json();
    if (status !== 200 || !referral) throw new Error(`status ${status}`);
    const finished = new Date();
    return {
      ...job, outcome: "sent", code: null, status, message, referral, share_action, attempts: attemptsMade + 1,
      called_at: called.toISOString(), finished_at: finished.toISOString(), latency_seconds: (finished - called) / 1000,
    };
  };
  const limiter = perSecond ? { max: perSecond, duration: 1000 } : undefined;
  const names = perSecond ? Object.keys(tokens).map(queueOf) : ["refer"];
  const workers = names.map((name) => new Worker(name, refer, { connection, concurrency, limiter }));
  process.once("SIGTERM", async () => {
    await Promise.all(workers.map((worker) => worker.close()));
    process.exit(0);
  });
}

await { send, work }[process.argv[2]]();
