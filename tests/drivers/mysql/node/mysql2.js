// mysql2 with its default settings: query() is text, execute() is a prepared statement that it keeps.
'use strict';
const fs = require('node:fs');
const mysql = require('mysql2/promise');
const {options, run} = require('./common.js');

run({
  connect: (more) => mysql.createConnection({...options, ...more}),
  end: (connection) => connection.end(),
  pool: () => mysql.createPool(options),
  changeUser: (connection) => connection.changeUser({user: options.user, password: options.password, database: options.database}),
  number: (connection) => connection.threadId,
  rows: async (connection, sql, values, prepared) =>
    (await (prepared ? connection.execute(sql, values) : connection.query(sql, values)))[0],
  done: async (connection, sql, values) => (await connection.execute(sql, values))[0],
  load: async (connection, file) => (await connection.query({
    sql: `LOAD DATA LOCAL INFILE '${file}' INTO TABLE items FIELDS TERMINATED BY ',' (name, amount)`,
    infileStreamFactory: (path) => fs.createReadStream(path),
  }))[0],
  batch: async (connection, sql, rows) => {
    for (const row of rows) await connection.execute(sql, row);
  },
  stream: (connection, sql) => connection.connection.query(sql).stream(),
});
