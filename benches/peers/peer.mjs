#!/usr/bin/env node
// The function on Node's http, silent.
import { createServer } from "node:http";

const server = createServer({ keepAliveTimeout: 300_000 }, (request, response) => {
  if (request.url.split("?")[0] !== "/api/RandomNumber") {
    response.writeHead(404).end();
    return;
  }
  const body = JSON.stringify({ value: 1 + Math.floor(Math.random() * 999) });
  response.writeHead(200, {
    "Cache-Control": "no-store",
    "Content-Type": "application/json",
    "Content-Length": body.length,
  });
  response.end(body);
});
server.listen({ host: "127.0.0.1", port: process.env.FUNCTIONS_CUSTOMHANDLER_PORT, backlog: 4096 });
