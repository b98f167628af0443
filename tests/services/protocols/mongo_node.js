// A client of MongoDB: node mongo.mjs PORT. Prints what it did, a line of JSON for each operation.
//
// Needs the package mongodb. Drops the database `store` first.

import { MongoClient } from "mongodb";

const did = (op, name, more = {}) => console.log(JSON.stringify({ op, name, ...more }));

const client = new MongoClient(`mongodb://127.0.0.1:${process.argv[2]}/?directConnection=true`, {
  maxPoolSize: 1,
});
const store = client.db("store");
await store.dropDatabase();
did("dropDatabase", "dropDatabase store");
const items = store.collection("items");
await items.insertMany([{ _id: 1, n: 1 }, { _id: 2, n: 2 }, { _id: 3, n: 3 }]);
did("insert", "insert items", { batch: 3 });
await items.bulkWrite([
  { updateOne: { filter: { _id: 1 }, update: { $set: { n: 7 } } } },
  { updateOne: { filter: { _id: 2 }, update: { $inc: { n: 1 } } } },
]);
did("update", "update items", { batch: 2 });
await items.find({ n: { $gt: 1 } }, { batchSize: 2 }).toArray();
did("find", "find items", { rows: 2 });
did("getMore", "getMore items", { rows: 1 });
await items.aggregate([{ $match: { n: 7 } }]).toArray();
did("aggregate", "aggregate items", { rows: 1 });
try {
  await items.insertMany([{ _id: 9 }, { _id: 1 }]);
} catch (error) {
  did("insert", "insert items", { batch: 2, error: String(error.code) });
}
await items.insertMany(Array.from({ length: 40 }, (_, n) => ({ _id: 100 + n, pad: "x".repeat(200) })));
did("insert", "insert items", { batch: 40 });
await items.find({ pad: { $exists: true } }).toArray();
did("find", "find items", { rows: 40 });
await items.deleteMany({});
did("delete", "delete items");
await client.close();
