// A plan service on Node's http: one event loop, kept connections. See plan.py for the protocol.
// An upgraded connection (a WebSocket, say) is echoed as it is.
const { createHash } = require("node:crypto");
const http = require("node:http");
const { setTimeout: sleep } = require("node:timers/promises");

const agent = new http.Agent({ keepAlive: true, maxFreeSockets: 1024 });

// Returns the status to answer with.
async function carryOut(plan) {
  if (plan.work_ms) await sleep(plan.work_ms);
  const calls = plan.calls ?? [];
  if (plan.at_once) await Promise.all(calls.map(carryOutCall));
  else for (const call of calls) await carryOutCall(call);
  return plan.status ?? 200;
}

async function carryOutCall(call) {
  const status = await fetch(call.url, call.plan ?? {});
  if (status === 200) return;
  if (!call.retry) throw new Error(`${call.url}: ${status}`);
  await carryOutCall(call.retry);
}

function fetch(url, plan) {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent, headers: { "X-Plan": JSON.stringify(plan) } });
    request.on("error", reject);
    request.on("response", (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode));
    });
  });
}

// RFC 6455, 4.2.2.
function accept(key) {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

http
  // The caller decides how long a connection is kept.
  .createServer({ keepAliveTimeout: 600_000 }, async (request, response) => {
    try {
      response.statusCode = await carryOut(JSON.parse(request.headers["x-plan"] ?? "{}"));
      response.end("done\n");
    } catch (error) {
      response.statusCode = 500;
      response.end(`${error}\n`);
    }
  })
  .on("upgrade", (request, socket) => {
    const answer = [
      "HTTP/1.1 101 Switching Protocols",
      "Upgrade: websocket",
      "Connection: Upgrade",
      `Sec-WebSocket-Accept: ${accept(request.headers["sec-websocket-key"])}`,
    ];
    socket.write(`${answer.join("\r\n")}\r\n\r\n`);
    socket.pipe(socket);
  })
  .listen({ port: Number(process.argv[2]), host: process.env.SERVICE_ADDRESS ?? "127.0.0.1", backlog: 1024 });
