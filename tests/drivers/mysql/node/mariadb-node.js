// MariaDB's connector with its default settings.
'use strict';
const mariadb = require('mariadb');
const {options, run} = require('./common.js');

run({
  longData: true,
  connect: (more) => mariadb.createConnection({...options, permitLocalInfile: true, ...more}),
  end: (connection) => connection.end(),
  pool: () => mariadb.createPool({...options, connectionLimit: 8}),
  number: (connection) => connection.threadId,
  rows: (connection, sql, values, prepared) => prepared ? connection.execute(sql, values) : connection.query(sql, values),
  done: (connection, sql, values) => connection.execute(sql, values),
  load: (connection, file) =>
    connection.query(`LOAD DATA LOCAL INFILE '${file}' INTO TABLE items FIELDS TERMINATED BY ',' (name, amount)`),
  batch: (connection, sql, rows) => connection.batch(sql, rows),
  stream: (connection, sql) => connection.queryStream(sql),
});
