// What node-redis makes of a Redis server: `redis_node.js PORT`. Prints as redis_py.py does.
'use strict';

const { createClient } = require('redis');

const op = (name, error = null) => console.log(JSON.stringify({ op: name, name, error }));

async function main() {
  const client = createClient({ url: `redis://127.0.0.1:${process.argv[2]}` });
  client.on('error', () => {});
  await client.connect();
  await client.set('node', 'value', { EX: 10 });
  op('SET');
  await client.get('node');
  op('GET');
  // Sent without waiting for each other.
  await Promise.all([...Array(20).keys()].map((number) => client.incrBy('count', number)));
  for (let number = 0; number < 20; number++) op('INCRBY');
  await client.multi().set('a', '1').get('a').exec();
  op('MULTI');
  op('SET');
  op('GET');
  op('EXEC');
  try {
    await client.sendCommand(['NOSUCH', 'secret']);
  } catch {
    op('NOSUCH', 'ERR');
  }
  await client.sAdd('set', ['x', 'y', 'z']);
  op('SADD');
  await client.sMembers('set');
  op('SMEMBERS');
  await client.del(['node', 'count', 'a', 'set']);
  op('DEL');
  await client.close();
}

main();
