// What both programs share: the driver's connections by promises, with query() for text and execute() for prepared.
'use strict';
const assert = require('node:assert');

const environment = process.env;
const options = {
  host: environment.DB_HOST,
  port: Number(environment.DB_PORT),
  user: environment.DB_USER,
  password: environment.DB_PASSWORD,
  database: environment.DB_NAME,
  ssl: environment.DB_TLS === '1' ? {rejectUnauthorized: false} : undefined,
};
const file = environment.DB_FILE;

function equal(actual, expected, what) {
  assert.deepStrictEqual(actual, expected, what);
  console.log(`   ${what}`);
}

// `driver`: connect(more), rows(connection, sql, values, prepared), affected(connection, sql, values), number(connection).
async function check(driver) {
  const rows = driver.rows;
  const clients = await Promise.all([1, 2, 3, 4, 5].map(() => driver.connect({})));
  const [one, two, three] = clients;

  for (const prepared of [false, true]) {
    const values = [42, 'naïve ☃', '12.34', Buffer.from([0, 255]), null, '2026-01-02 03:04:05', 1.5];
    await rows(one, 'DELETE FROM kinds');
    await rows(one, 'INSERT INTO kinds VALUES (?, ?, ?, ?, ?, ?, ?)', values, prepared);
    const [row] = await rows(one, 'SELECT i, s, CAST(d AS CHAR) d, b, n, CAST(t AS CHAR) t, f FROM kinds WHERE i = ?', [42],
        prepared);
    equal(Object.values(row), values, `types${prepared ? ', prepared' : ''}`);
  }

  await rows(one, 'DELETE FROM items');
  await one.beginTransaction();
  await rows(one, "INSERT INTO items (name) VALUES ('rolled back')");
  await one.rollback();
  await one.beginTransaction();
  const {insertId} = await driver.done(one, 'INSERT INTO items (name, amount) VALUES (?, ?)', ['kept', 2]);
  await one.commit();
  const kept = await rows(one, 'SELECT id, name FROM items');
  equal(kept.map(({id, name}) => [id, name]), [[Number(insertId), 'kept']], 'commit and rollback');
  const error = await rows(one, 'INSERT INTO items (name) VALUES (?)', ['kept'], true).catch((reason) => reason);
  equal([error.errno, error.code], [1062, 'ER_DUP_ENTRY'], 'error');

  for (let step = 0; step < 8; step++) {
    for (const [number, each] of clients.entries()) {
      const [row] = await rows(each, 'SELECT ? + ? AS sum, name FROM items WHERE name = ?', [step, number, 'kept'], true);
      assert.strictEqual(Number(row.sum), step + number);
    }
  }
  equal(clients.length, 5, 'prepared statements of interleaved connections');
  const all = await Promise.all(clients.flatMap(
      (each, number) => [...Array(20).keys()].map((n) => rows(each, 'SELECT ? AS n', [n + number], n % 2 === 1))));
  equal(all.map(([row]) => Number(row.n)), clients.flatMap((_, number) => [...Array(20).keys()].map((n) => n + number)),
      'queries in flight on all of them');

  await rows(two, "SET time_zone = '+05:00', SESSION sql_mode = 'ANSI_QUOTES'");
  await rows(two, 'USE billing');
  const question = "SELECT CONCAT(@@time_zone, DATABASE(), @@sql_mode LIKE '%ANSI_QUOTES%') AS state";
  for (let step = 0; step < 3; step++) {
    equal([(await rows(two, question))[0].state, (await rows(three, question))[0].state], ['+05:00billing1', '+00:00orders0'],
        'session state');
  }

  const several = await driver.connect({multipleStatements: true});
  const results = await rows(several, 'SELECT 1 AS n; SELECT 2 AS n; SELECT 3 AS n');
  equal(results.map(([row]) => Number(row.n)), [1, 2, 3], 'several statements');
  await driver.end(several);

  await three.beginTransaction();
  equal((await driver.load(three, file)).affectedRows, 5000, 'LOAD DATA LOCAL');
  await three.rollback();

  const data = Buffer.alloc(17000000, 'some bytes');
  for (const prepared of environment.DB_TLS === '1' ? [] : [false, true]) {
    await rows(three, 'REPLACE INTO big VALUES (?, ?)', [1, data], prepared);
    const [row] = await rows(three, 'SELECT data FROM big WHERE n = ?', [1], prepared);
    equal(data.equals(row.data), true, `packets over 16 MB${prepared ? ', prepared' : ''}`);
  }
  await rows(three, 'DELETE FROM big');

  await driver.batch(three, 'INSERT INTO items (name, amount) VALUES (?, ?)', [...Array(300).keys()].map((n) => [`many ${n}`, n]));
  equal(Number((await rows(three, "SELECT SUM(amount) AS n FROM items WHERE name LIKE 'many %'"))[0].n), 44850, 'many rows');
  let streamed = 0;
  for await (const row of driver.stream(three, 'SELECT a.id FROM items a, items b')) streamed += row.id ? 1 : 0;
  equal(streamed, 301 * 301, 'streamed rows');

  const sleeping = rows(clients[3], "SELECT SLEEP(60) FROM items WHERE name = 'kept'").catch((reason) => reason);
  let over = false;
  sleeping.then(() => { over = true; });
  while (!over) {
    await rows(clients[4], `KILL QUERY ${driver.number(clients[3])}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const killed = await sleeping;
  equal(killed.errno || 1317, 1317, 'KILL QUERY');
  equal(Number((await rows(clients[3], 'SELECT 1 AS one'))[0].one), 1, 'after the KILL');
  for (const each of clients) await driver.end(each);

  // It may leave anything behind: the client is pinned, and its server connection is closed with it.
  const caller = await driver.connect({});
  const answers = await rows(caller, 'CALL two_results(4, @doubled)');
  equal([answers[0][0].first, answers[1][0].second, answers[1][0].word].map(String), ['4', '5', 'two'], "a procedure's results");
  await driver.end(caller);

  if (driver.changeUser) {
    const changing = await driver.connect({});
    await rows(changing, "SET time_zone = '+09:00'");
    await driver.changeUser(changing);
    equal(String((await rows(changing, 'SELECT @@time_zone AS zone'))[0].zone), '+00:00', 'changeUser');
    await driver.end(changing);
  }

  const pool = driver.pool();
  const numbers = await Promise.all([...Array(50).keys()].map(async (n) =>
    Number((await rows(pool, 'SELECT ? AS n', [n], n % 2 === 1))[0].n)));
  equal(numbers, [...Array(50).keys()], 'its own pool');
  await pool.end();
  // MariaDB's sends long parameters ahead.
  console.log(`pins opaque${driver.longData && environment.DB_TLS === '0' ? ' long_data' : ''}`);
}

function run(driver) {
  check(driver).catch((error) => {
    console.error(error);
    process.exit(1);
  });
}

module.exports = {options, run};
