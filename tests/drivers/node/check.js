// node-postgres with its default settings: simple protocol for plain texts, extended for parameters, own pool.
'use strict';
const assert = require('node:assert');
const {once} = require('node:events');
const {Client, Pool} = require('pg');
const copy = require('pg-copy-streams');

const environment = process.env;
const options = {
  host: environment.DB_HOST,
  port: Number(environment.DB_PORT),
  user: environment.DB_USER,
  password: environment.DB_PASSWORD,
  database: environment.DB_NAME,
  ssl: environment.DB_SSLMODE === 'require' ? {rejectUnauthorized: false} : false,
};

function equal(actual, expected, what) {
  assert.deepStrictEqual(actual, expected, what);
  console.log(`   ${what}`);
}

async function connect() {
  const client = new Client(options);
  await client.connect();
  return client;
}

async function main() {
  const client = await connect();
  const values = [42, 'naïve ☃', '12.34', Buffer.from([0, 255]), true, null, [1, 2, 3], 1.5, {a: [1]}];
  const {rows: [row]} = await client.query({
    text: `SELECT $1::int, $2::text, $3::numeric, $4::bytea, $5::bool, $6::text, $7::int[], $8::float8, $9::jsonb`,
    values,
    rowMode: 'array',
  });
  equal(row, values, 'types');

  await client.query('BEGIN');
  await client.query("INSERT INTO items (name) VALUES ('rolled back')");
  await client.query('ROLLBACK');
  await client.query('BEGIN');
  await client.query('INSERT INTO items (name, amount) VALUES ($1, $2)', ['kept', 2]);
  await client.query('COMMIT');
  equal((await client.query('SELECT name FROM items')).rows, [{name: 'kept'}], 'commit and rollback');

  const error = await client.query('INSERT INTO items (name) VALUES ($1)', ['kept']).catch((reason) => reason);
  equal([error.code, error.constraint], ['23505', 'items_name_key'], 'error with its details');

  const clients = await Promise.all([1, 2, 3, 4].map(connect));
  for (let step = 0; step < 10; step++) {
    for (const [number, other] of clients.entries()) {
      const answer = await other.query({name: 'sum', text: 'SELECT $1::int + $2::int AS sum', values: [step, number]});
      assert.strictEqual(answer.rows[0].sum, step + number);
    }
  }
  equal(clients.length, 4, 'prepared statements of interleaved connections');
  const all = await Promise.all(
      clients.flatMap((other) => [...Array(20).keys()].map((n) => other.query('SELECT $1::int AS n', [n]))));
  equal(all.length, 80, 'queries in flight on all of them');

  const into = clients[0].query(copy.from('COPY items (name, amount) FROM STDIN'));
  for (let n = 0; n < 1000; n++) {
    if (!into.write(`copied ${n}\t${n}\n`)) await once(into, 'drain');
  }
  into.end();
  await once(into, 'finish');
  let text = '';
  for await (const chunk of clients[0].query(copy.to('COPY (SELECT count(*) FROM items) TO STDOUT'))) text += chunk;
  equal(text, '1001\n', 'COPY both ways');

  const sleeping = clients[1].query('SELECT pg_sleep(30)').catch((reason) => reason);
  const {rows: [{pid}]} = {rows: [{pid: clients[1].processID}]};
  assert.ok(pid);
  // node-postgres cancels on a connection of its own with the key of the first.
  let cancelled = false;
  sleeping.then(() => { cancelled = true; });
  while (!cancelled) {
    const canceller = new Client(options);
    canceller.connection.on('error', () => {});
    const request = canceller.connection;
    request.once('connect', () => request.cancel(clients[1].processID, clients[1].secretKey));
    request.once('sslconnect', () => request.cancel(clients[1].processID, clients[1].secretKey));
    if (options.ssl) {
      request.removeAllListeners('connect');
      request.on('connect', () => request.requestSsl());
    }
    request.connect(options.port, options.host);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  equal((await sleeping).code, '57014', 'cancel');
  equal((await clients[1].query('SELECT 1 AS one')).rows, [{one: 1}], 'after the cancel');
  for (const other of [client, ...clients]) await other.end();

  const pool = new Pool(options);
  const numbers = await Promise.all([...Array(50).keys()].map(async (n) => {
    const {rows} = await pool.query('SELECT $1::int AS n', [n]);
    return rows[0].n;
  }));
  equal(numbers, [...Array(50).keys()], 'its own pool');
  await pool.end();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
