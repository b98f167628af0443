// The fraud service: the slow one. A score takes it 900 ms.
'use strict';

const http = require('node:http');

const [host, port] = process.argv[2].split(':');

http
  .createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      setTimeout(() => {
        response.writeHead(200, { 'Content-Type': 'application/json' });
        response.end(JSON.stringify({ fraud: false }));
      }, 900);
    });
  })
  .listen(Number(port), host);
