// A plan service on Node's http: one event loop, kept connections. See plan.py for the protocol.
const http = require("node:http");
const { setTimeout: sleep } = require("node:timers/promises");

const agent = new http.Agent({ keepAlive: true });

async function carryOut(plan) {
  if (plan.work_ms) await sleep(plan.work_ms);
  for (const call of plan.calls ?? []) await fetch(call.url, call.plan ?? {});
}

function fetch(url, plan) {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent, headers: { "X-Plan": JSON.stringify(plan) } });
    request.on("error", reject);
    request.on("response", (response) => {
      response.resume();
      response.on("end", () =>
        response.statusCode === 200 ? resolve() : reject(new Error(`${url}: ${response.statusCode}`)),
      );
    });
  });
}

http
  .createServer(async (request, response) => {
    try {
      await carryOut(JSON.parse(request.headers["x-plan"] ?? "{}"));
      response.end("done\n");
    } catch (error) {
      response.statusCode = 500;
      response.end(`${error}\n`);
    }
  })
  .listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 1024 });
