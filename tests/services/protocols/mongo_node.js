// A client of MongoDB: node mongo_node.js PORT. Prints what the driver says it did, as mongo.py does.
//
// Needs the package mongodb. Drops the database `store` first.
'use strict';

const { MongoClient, BSON } = require('mongodb');

// As in mongo.py.
const QUIET = new Set(['hello', 'ismaster', 'ping', 'endSessions']);
const COUNTED = 4000;

// What was asked, by the driver's number.
const commands = new Map();

function did(event, code, reply) {
  const { command, databaseName } = commands.get(event.requestId);
  const name = event.commandName;
  commands.delete(event.requestId);
  if (QUIET.has(name)) return;
  const target = command[name === 'getMore' ? 'collection' : name];
  const attributes = {
    'db.system.name': 'mongodb',
    'db.namespace': databaseName,
    'db.operation.name': name,
  };
  if (typeof target === 'string') attributes['db.collection.name'] = target;
  if (code) attributes['db.response.status_code'] = String(code);
  const rows = reply.cursor?.firstBatch ?? reply.cursor?.nextBatch;
  if (rows && BSON.calculateObjectSize(reply) < COUNTED) {
    attributes['db.response.returned_rows'] = rows.length;
  }
  const batch = command.documents ?? command.updates ?? command.deletes ?? [];
  if (batch.length >= 2 && BSON.calculateObjectSize(command) < COUNTED) {
    attributes['db.operation.batch.size'] = batch.length;
  }
  const on = attributes['db.collection.name'] ?? databaseName;
  const line = { name: `${name} ${on}`, error: code, kind: 'client', attributes, ms: event.duration };
  console.log(JSON.stringify(line));
}

async function main() {
  const address = `mongodb://127.0.0.1:${process.argv[2]}/?directConnection=true`;
  const client = new MongoClient(address, { maxPoolSize: 4, monitorCommands: true });
  client.on('commandStarted', (event) => commands.set(event.requestId, event));
  client.on('commandSucceeded', (event) => {
    did(event, event.reply?.writeErrors?.[0].code ?? null, event.reply ?? {});
  });
  client.on('commandFailed', (event) => did(event, event.failure.code, {}));
  const store = client.db('store');
  await store.dropDatabase();
  const items = store.collection('items');
  await items.insertMany([{ _id: 1, n: 1 }, { _id: 2, n: 2 }, { _id: 3, n: 3 }]);
  await items.bulkWrite([
    { updateOne: { filter: { _id: 1 }, update: { $set: { n: 7 } } } },
    { updateOne: { filter: { _id: 2 }, update: { $inc: { n: 1 } } } },
  ]);
  await items.find({ n: { $gt: 1 } }, { batchSize: 2 }).toArray();
  await items.aggregate([{ $match: { n: 7 } }]).toArray();
  await items.insertMany([{ _id: 9 }, { _id: 1 }]).catch(() => {});
  await store.command({ frobnicate: 1 }).catch(() => {});
  // More than there are connections, at the same time.
  await Promise.all([...Array(12).keys()].map((n) => items.findOne({ _id: n })));
  await items.insertMany(Array.from({ length: 40 }, (_, n) => ({ _id: 100 + n, pad: 'x'.repeat(200) })));
  await items.find({ pad: { $exists: true } }).toArray();
  await items.deleteMany({});
  await client.close();
}

main();
