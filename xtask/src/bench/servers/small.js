// A small answer from Node's own server: `small.js <port>`.
const http = require("node:http");

const body = "x".repeat(64);

http
  .createServer((request, response) => {
    response.writeHead(200, { "Content-Type": "text/plain", "Content-Length": body.length });
    response.end(body);
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
